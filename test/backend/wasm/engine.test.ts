import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';
import type { Backend, Executable } from '../../../src/backend/backend.js';
import { openWasm } from '../../../src/backend/wasm/index.js';
import type { PlusxError } from '../../../src/errors.js';
import { GraphBuilder } from '../../../src/graph/builder.js';
import { emitInto } from '../../../src/ops/emit.js';
import { compilePlan } from '../../../src/plan/compile.js';
import type { Plan, StateLayout } from '../../../src/plan/plan.js';

/** A plan that fills `bytes` bytes of memory. */
function fillPlan(bytes: number): Plan {
  const builder = new GraphBuilder();
  const [y] = emitInto(builder, () => '')('fill', [], { shape: [bytes / 4], value: 1 });
  builder.output('y', y!);
  return compilePlan(builder.build(), { convAlgorithms: ['gemm'] });
}

/** total += x, with a temporary of `scratch` values. */
function sumPlan(scratch: number, layout?: StateLayout): Plan {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => '');
  const vector = { shape: [3], dtype: 'f32' } as const;
  const total = builder.state('total', vector);
  const x = builder.input('x', vector);
  const hyper = builder.input('hyper', vector);
  const attributes = { momentum: 0, weightDecay: 0, nesterov: false };
  builder.update('total', emit('sgd', [total, x, hyper], attributes)[0]!);
  builder.output('scratch', emit('fill', [], { shape: [scratch], value: 1 })[0]!);
  return compilePlan(builder.build(), { convAlgorithms: ['gemm'] }, layout);
}

/** One 3×3 convolution of 64 channels at 64×64: about 100 ms. */
async function convolution(backend: Backend): Promise<[Executable, Record<string, Float32Array>]> {
  const builder = new GraphBuilder();
  const x = builder.input('x', { shape: [8, 64, 64, 64], dtype: 'f32' });
  const weight = builder.input('weight', { shape: [64, 3, 3, 64], dtype: 'f32' });
  const attributes = { stride: 1, padding: 1 };
  builder.output('y', emitInto(builder, () => '')('conv2d', [x, weight], attributes)[0]!);
  const executable = await backend.compile(compilePlan(builder.build(), backend.capabilities));
  const inputs = { x: new Float32Array(8 * 64 * 64 * 64), weight: new Float32Array(64 * 9 * 64) };
  return [executable, inputs];
}

test('the event loop stays free during a run', async () => {
  const backend = await openWasm({ threads: 2 });
  const [executable, inputs] = await convolution(backend);
  await executable.run(inputs);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await executable.run(inputs);
  clearInterval(timer);
  assert.ok(ticks >= 5, `${ticks} ticks of 1 ms in a run`);
  await backend.dispose();
});

test('state is zero at first, and stays when a sharing executable moves it', async () => {
  const backend = await openWasm({ threads: 2 });
  const small = await backend.compile(sumPlan(1));
  const total = small.plan.state.slots.total!;
  assert.deepEqual(await small.read(total), new Float32Array(3));
  await small.write(total, Float32Array.of(1, 2, 3));
  // What lies behind keeps the arena from growing where it is.
  const neighbour = await backend.compile(sumPlan(1));
  const large = await backend.compile(sumPlan(100_000, small.plan.state), small);
  const inputs = { x: Float32Array.of(1, 1, 1), hyper: Float32Array.of(-1, 0, 0) };
  await large.run(inputs);
  await small.run(inputs);
  assert.deepEqual(await small.read(total), Float32Array.of(3, 4, 5));
  assert.deepEqual(await large.read(total), Float32Array.of(3, 4, 5));
  assert.deepEqual(await neighbour.read(total), new Float32Array(3));
  // Freed and used memory is given out again, and is zero again.
  await large.dispose();
  const next = await backend.compile(sumPlan(1));
  assert.deepEqual(await next.read(total), new Float32Array(3));
  await backend.dispose();
});

test('independent executables run in turn, one executable refuses a second run', async () => {
  const backend = await openWasm({ threads: 2 });
  const executables = await Promise.all([1, 2, 3].map(() => backend.compile(sumPlan(1))));
  const inputs = { x: Float32Array.of(1, 1, 1), hyper: Float32Array.of(-1, 0, 0) };
  await Promise.all(executables.map((executable) => executable.run(inputs)));
  for (const executable of executables) {
    const total = await executable.read(executable.plan.state.slots.total!);
    assert.deepEqual(total, Float32Array.of(1, 1, 1));
  }
  const first = executables[0]!.run(inputs);
  await assert.rejects(executables[0]!.run(inputs), /internal: a run is already under way/);
  await first;
  await backend.dispose();
});

test('a plan that does not fit says what it needs, what there is and what to do', async () => {
  const backend = await openWasm({ threads: 1 });
  await assert.rejects(backend.compile(fillPlan(5.2e9)), (error: PlusxError) => {
    assert.equal(error.code, 'out-of-memory');
    assert.match(error.message, /needs 5\.20 GB, WebAssembly has at most \d\.\d\d GB left/);
    assert.match(error.message, /smaller batch, smaller images, or the native engine/);
    assert.equal(typeof error.details.available, 'number');
    return true;
  });
  await backend.dispose();
});

test('executables that nobody holds any more make room for new ones', async () => {
  const backend = await openWasm({ threads: 1 });
  for (let i = 0; i < 8; i++) await backend.compile(fillPlan(1.5e9));
  await backend.dispose();
});

test('a stopped backend rejects, runs under way too', async () => {
  const backend = await openWasm({ threads: 2 });
  const [executable, inputs] = await convolution(backend);
  const stopped = (error: PlusxError) =>
    error.code === 'engine-stopped' && error.message === 'the WASM engine was stopped';
  const running = assert.rejects(executable.run(inputs), stopped);
  await backend.dispose();
  await running;
  await assert.rejects(executable.run(inputs), stopped);
});

const source = new URL('../../../src/', import.meta.url).href;
const script = `
  import { openWasm } from '${source}backend/wasm/index.js';
  import { GraphBuilder } from '${source}graph/builder.js';
  import { compilePlan } from '${source}plan/compile.js';
  const backend = await openWasm({ threads: 3 });
  const builder = new GraphBuilder();
  const type = { shape: [1e7], dtype: 'f32' };
  builder.output('y', builder.node('fill', [], { ...type, value: 7 }, [type], '')[0]);
  const executable = await backend.compile(compilePlan(builder.build(), backend.capabilities));
  await executable.run({});
  console.log((await executable.read(executable.plan.outputs.y)).at(-1));
`;

async function outputOf(program: string): Promise<string> {
  const args = ['--input-type=module', '--eval', program];
  return (await promisify(execFile)(process.execPath, args, { timeout: 20_000 })).stdout;
}

test('a process stays for a run, and with an idle backend ends by itself', async () => {
  assert.equal(await outputOf(script), '7\n');
});

test('a process ends by itself with a backend that was opened and never used', async () => {
  const open = `import { openWasm } from '${source}backend/wasm/index.js'; await openWasm();`;
  assert.equal(await outputOf(open), '');
});
