/**
 * The same seed and the same instruction set give the same bits: at 1, 2 and 3 threads, and again.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import type { Precision } from '../../src/plan/precision.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { adamW, sgd, type Optimizer } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import type { StateDict } from '../../src/train/state-dict.js';
import { train } from '../../src/train/trainer.js';
import { fastEngines, type Engine } from '../parity/backends.js';
import { drawImages } from './drawn-images.js';
import { noiseBatch, smallResNet, smallSessionOptions } from './small-resnet.js';

const momentum = sgd({ lr: 0.05, momentum: 0.9, weightDecay: 1e-4 });

const optimizers: readonly (readonly [string, Optimizer, number, Precision])[] = [
  ['SGD with momentum', momentum, 1, 'fp32'],
  ['SGD in three micro-batches', momentum, 3, 'fp32'],
  ['AdamW', adamW({ lr: 0.01 }), 1, 'fp32'],
  ['SGD in bf16', momentum, 1, 'bf16'],
];

/** Names the first tensor whose bytes differ: -0 is not 0, and a NaN is itself. */
function assertSameBits(found: StateDict, expected: StateDict): void {
  assert.deepEqual([...found.keys()], [...expected.keys()]);
  for (const [key, { data }] of expected) {
    const [bits, wanted] = [found.get(key)!.data, data].map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength),
    );
    assert.ok(bits!.equals(wanted!), `${key} differs`);
  }
}

/** What a training leaves behind: weights, running statistics, moments, each step's numbers. */
async function trained(
  backend: Backend,
  optimizer: Optimizer,
  accumulate: number,
  precision: Precision,
): Promise<StateDict> {
  const options = { ...smallSessionOptions(8, 33), optimizer, accumulate, precision };
  const session = await Session.create(smallResNet(), backend, options);
  const results: StateDict = new Map();
  // Two epochs of 19 images: the last batch has three.
  for (const [step, size] of [8, 8, 3, 8, 8, 3].entries()) {
    const { loss, logits } = await session.step(noiseBatch(step, size, 33));
    results.set(`loss of step ${step}`, { shape: [1], data: Float32Array.of(loss) });
    results.set(`logits of step ${step}`, { shape: [size, 3], data: logits });
  }
  const logits = await session.logits(noiseBatch(100, 5, 33).images);
  results.set('logits in evaluation', { shape: [5, 3], data: logits });
  for (const [key, tensor] of await session.exportState()) results.set(key, tensor);
  await session.dispose();
  return results;
}

const enginesByThreads = await Promise.all([1, 2, 3].map(fastEngines));
after(async () => {
  for (const { backend } of enginesByThreads.flat()) await backend?.dispose();
});

for (const [index, { title, skip }] of enginesByThreads[0]!.entries()) {
  for (const [name, optimizer, accumulate, precision] of optimizers) {
    const what = `${title}, ${name}: the same bits at 1, 2 and 3 threads and twice in a row`;
    test(what, { skip }, async () => {
      const [one, two, three] = enginesByThreads.map((engines) => engines[index]!.backend!);
      const expected = await trained(one!, optimizer, accumulate, precision);
      for (const { data } of expected.values()) assert.ok(data.every(Number.isFinite));
      for (const backend of [one, two, three, three]) {
        assertSameBits(await trained(backend!, optimizer, accumulate, precision), expected);
      }
    });
  }
}

const setsOfOneThread = enginesByThreads[0]!;
const [withDots, withoutDots] = ['native avx512-bf16', 'native avx512'].map((name) =>
  setsOfOneThread.find(({ title }) => title === name)!,
);

test(
  'avx512-bf16 has the bits of avx512 in fp32, and others in bf16',
  { skip: withDots!.skip || withoutDots!.skip },
  async () => {
    const [, optimizer, accumulate] = optimizers[0]!;
    const run = ({ backend }: Engine, precision: Precision) =>
      trained(backend!, optimizer, accumulate, precision);
    assertSameBits(await run(withDots!, 'fp32'), await run(withoutDots!, 'fp32'));
    const [dots, products] = [await run(withDots!, 'bf16'), await run(withoutDots!, 'bf16')];
    assert.notDeepEqual(dots.get('loss of step 0')!.data, products.get('loss of step 0')!.data);
  },
);

test('a run from photographs: the same checkpoint at 1 and 3 threads', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'plusx-determinism-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const photos = path.join(folder, 'photos');
  await drawImages(photos, { train: [2, 1], val: [1, 1] });
  const states: StateDict[] = [];
  for (const threads of [1, 3]) {
    const out = path.join(folder, `threads-${threads}`);
    const options = { imageSize: 8, batchSize: 2, epochs: 1, momentum: 0.9, threads };
    const { last } = await train({ folder: photos, out, stem: 'conv3x3', ...options });
    states.push((await loadCheckpoint(last)).state);
  }
  assertSameBits(states[1]!, states[0]!);
});
