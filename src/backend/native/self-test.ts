/**
 * Checks an addon just built: a convolution, forward and backward, with every instruction set,
 * against the reference backend. Run as `node self-test.js <addon>`; prints the sets as JSON.
 */
import { GraphBuilder } from '../../graph/builder.js';
import { emitInto } from '../../ops/emit.js';
import { compilePlan } from '../../plan/compile.js';
import type { Backend } from '../backend.js';
import { openReference } from '../reference/index.js';
import { loadFile } from './addon.js';
import { backendOf } from './index.js';

async function convolve(backend: Backend): Promise<number[]> {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => 'self-test');
  const x = builder.input('x', { shape: [1, 5, 7, 17], dtype: 'f32' });
  const weight = builder.input('weight', { shape: [33, 3, 3, 17], dtype: 'f32' });
  const window = { stride: 2, padding: 1 };
  const y = emit('conv2d', [x, weight], window)[0]!;
  const sizes = { inputHeight: 5, inputWidth: 7, kernelHeight: 3, kernelWidth: 3 };
  builder.output('y', y);
  const dx = emit('conv2dBackwardInput', [y, weight], { ...window, ...sizes })[0]!;
  builder.output('dx', dx);
  builder.output('dw', emit('conv2dBackwardWeight', [x, y], { ...window, ...sizes })[0]!);

  const plan = compilePlan(builder.build(), backend.capabilities);
  const executable = await backend.compile(plan);
  const wave = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
  await executable.run({ x: wave(5 * 7 * 17), weight: wave(33 * 9 * 17) });
  const results: number[] = [];
  for (const slot of Object.values(plan.outputs)) results.push(...(await executable.read(slot)));
  return results;
}

const addon = loadFile(process.argv[2]!);
const expected = await convolve(openReference());
const sets = addon.instructionSets();
for (const set of sets) {
  const actual = await convolve(backendOf(addon, { threads: 2, instructionSet: set }));
  const wrong = actual.findIndex((value, i) => !(Math.abs(value - expected[i]!) < 1e-2));
  if (wrong >= 0) {
    throw new Error(`${set}: value ${wrong} is ${actual[wrong]}, expected ${expected[wrong]}`);
  }
}
process.stdout.write(JSON.stringify(sets));
