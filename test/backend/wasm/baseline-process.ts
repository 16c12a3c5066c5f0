/**
 * Runs a long kernel of two halves on several fresh engines of three threads and prints how many of them
 * agree with one thread: `node --liftoff-only baseline-process.js <engines>`.
 */
import { openWasm } from '../../../src/backend/wasm/index.js';
import { GraphBuilder } from '../../../src/graph/builder.js';
import { emitInto } from '../../../src/ops/emit.js';
import { compilePlan } from '../../../src/plan/compile.js';

/** The gradient of a weight, 256 to 256 channels: partial sums, then a pass over them. */
async function gradient(threads: number): Promise<string> {
  const backend = await openWasm({ threads });
  const builder = new GraphBuilder();
  const image = { shape: [8, 8, 8, 256], dtype: 'f32' } as const;
  const [x, dy] = [builder.input('x', image), builder.input('dy', image)];
  const attributes = { stride: 1, padding: 1, kernelHeight: 3, kernelWidth: 3 };
  const emit = emitInto(builder, () => 'baseline');
  builder.output('dweight', emit('conv2dBackwardWeight', [x, dy], attributes)[0]!);
  const plan = compilePlan(builder.build(), backend.capabilities);
  const executable = await backend.compile(plan);
  const wave = (step: number) =>
    Float32Array.from({ length: 8 ** 3 * 256 }, (_, i) => Math.sin(i * step));
  await executable.run({ x: wave(1), dy: wave(1.7) });
  const result = await executable.read(plan.outputs.dweight!);
  await backend.dispose();
  return Buffer.from(result.buffer).toString('base64');
}

const expected = await gradient(1);
let equal = 0;
const engines = Number(process.argv[2]);
for (let i = 0; i < engines; i++) if ((await gradient(3)) === expected) equal++;
process.stdout.write(String(equal));
