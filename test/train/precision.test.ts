/** Training in mixed precision: what is bfloat16 and what is not, and that a run keeps to it. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import type { Backend, DeviceName } from '../../src/backend/backend.js';
import type { Precision } from '../../src/plan/precision.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { evaluate } from '../../src/train/evaluate.js';
import { sgd } from '../../src/train/optimizers.js';
import { Session, type SessionOptions } from '../../src/train/session.js';
import { train, type TrainOptions } from '../../src/train/trainer.js';
import { allEngines } from '../parity/backends.js';
import { drawImages } from './drawn-images.js';
import { noiseBatch, smallResNet, smallSessionOptions } from './small-resnet.js';

/** The engines that train in it. */
const withBfloat16: readonly DeviceName[] = ['reference', 'native', 'wasm'];

const engines = (await allEngines(2)).filter(({ title }) =>
  withBfloat16.some((name) => title.startsWith(name)),
);
const folder = await mkdtemp(path.join(tmpdir(), 'plusx-precision-'));
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
  await rm(folder, { recursive: true, force: true });
});

const size = 12;
const options = (precision: Precision, others: Partial<SessionOptions> = {}): SessionOptions => ({
  ...smallSessionOptions(8, size),
  optimizer: sgd({ lr: 0.05, momentum: 0.9 }),
  precision,
  ...others,
});

const sessionOn = (backend: Backend, precision: Precision, others?: Partial<SessionOptions>) =>
  Session.create(smallResNet(), backend, options(precision, others));

/** The losses of the steps from this one on. */
async function losses(session: Session, first: number, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = first; i < first + count; i++) {
    found.push((await session.step(noiseBatch(i, 8, size))).loss);
  }
  return found;
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/**
 * Maps between the images and the last pooling of the small network, one after the other. Each of them
 * is rounded, by at most 2⁻⁹ of a value; if all err alike, so much is the loss off.
 */
const roundings = 12;

for (const { title, backend, skip } of engines) {
  const name = (what: string) => `${title}: ${what}`;

  test(name('bf16 learns as fp32 does, but for its rounding'), { skip }, async () => {
    const [plain, mixed] = [await sessionOn(backend!, 'fp32'), await sessionOn(backend!, 'bf16')];
    const [expected, found] = [await losses(plain, 0, 20), await losses(mixed, 0, 20)];
    assert.notEqual(found[0], expected[0]);
    assert.ok(Math.abs(found[0]! - expected[0]!) <= roundings * 2 ** -9 * expected[0]!);
    for (const each of [expected, found]) {
      assert.ok(mean(each.slice(-5)) < mean(each.slice(0, 5)) / 2, each.join(' '));
    }
    await plain.dispose();
    await mixed.dispose();
  });

  test(name('maps are bfloat16, weights and all other state float32'), { skip }, async () => {
    const session = await sessionOn(backend!, 'bf16');
    await session.step(noiseBatch(0, 8, size));
    const plan = await session.trainingPlan();
    const convolutions = plan.steps.filter(({ kind }) => kind === 'conv2d');
    assert.ok(convolutions.length > 1);
    for (const [i, step] of convolutions.entries()) {
      assert.ok(step.kind === 'conv2d');
      // The first one may read the image itself.
      const x = i === 0 && step.mean ? 'u8' : 'bf16';
      assert.deepEqual([step.x.dtype, step.weight.dtype, step.y.dtype], [x, 'f32', 'bf16']);
    }
    const lasting = Object.values(plan.state.slots);
    assert.ok(lasting.every(({ dtype }) => dtype === 'f32'));
    for (const [key, { data }] of await session.exportState()) {
      if (!key.endsWith('weight')) continue;
      // An update is smaller than a bfloat16 can tell of its weight.
      const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
      assert.ok(
        bits.some((word) => (word & 0xffff) !== 0),
        key,
      );
    }
    await session.dispose();
  });

  test(name('bf16 takes little more than half the memory'), { skip }, () => {
    const arena = (precision: Precision) =>
      Session.forecast(smallResNet(), backend!, options(precision, { imageSize: 64 })).arenaBytes;
    const share = arena('bf16') / arena('fp32');
    assert.ok(share < 0.6, `${share}`);
  });

  test(name('evaluation after bf16 has the logits of an fp32 session'), { skip }, async () => {
    const [mixed, plain] = [await sessionOn(backend!, 'bf16'), await sessionOn(backend!, 'fp32')];
    await losses(mixed, 0, 2);
    await plain.importState(await mixed.exportState());
    const { images } = noiseBatch(7, 8, size);
    assert.deepEqual(await mixed.logits(images), await plain.logits(images));
    const slots = mixed.evaluationPlan.steps.flatMap((step) => Object.values(step) as unknown[]);
    assert.ok(!JSON.stringify(slots).includes('bf16'));
    await mixed.dispose();
    await plain.dispose();
  });

  test(name('bf16 goes on with the same bits after a stop'), { skip }, async () => {
    const [whole, first, second] = [
      await sessionOn(backend!, 'bf16'),
      await sessionOn(backend!, 'bf16'),
      await sessionOn(backend!, 'bf16', { seed: 6 }),
    ];
    const expected = await losses(whole, 0, 4);
    await losses(first, 0, 2);
    await second.importState(await first.exportState());
    second.stepsTaken = first.stepsTaken;
    assert.deepEqual(await losses(second, 2, 2), expected.slice(2));
    assert.deepEqual(await second.exportState(), await whole.exportState());
    for (const session of [whole, first, second]) await session.dispose();
  });

  test(name('micro-batches in bf16 are steps of their size'), { skip }, async () => {
    const still = { optimizer: sgd({ lr: 0 }), keepGradients: true };
    const parts = await sessionOn(backend!, 'bf16', { ...still, accumulate: 2 });
    const four = await sessionOn(backend!, 'bf16', { ...still, batchSize: 4 });
    const [a, b] = [noiseBatch(1, 4, size), noiseBatch(2, 4, size)];
    const { loss } = await parts.step({
      images: Uint8Array.of(...a.images, ...b.images),
      labels: Int32Array.of(...a.labels, ...b.labels),
    });
    const halves = [];
    for (const batch of [a, b]) {
      halves.push({ loss: (await four.step(batch)).loss, gradients: await four.gradients() });
    }
    assert.equal(loss, (halves[0]!.loss + halves[1]!.loss) / 2);
    // Halves are exact in bfloat16 too, so that the sum of two alone is rounded, in float32.
    const found = await parts.gradients();
    for (const [key, { data }] of halves[0]!.gradients) {
      const other = halves[1]!.gradients.get(key)!.data;
      const sum = data.map((value, i) => Math.fround(value / 2 + other[i]! / 2));
      assert.deepEqual(found.get(key)!.data, sum, key);
    }
    await parts.dispose();
    await four.dispose();
  });

  test(name('a profiled step in bf16 is a step'), { skip }, async () => {
    const [stepped, profiled] = [
      await sessionOn(backend!, 'bf16'),
      await sessionOn(backend!, 'bf16'),
    ];
    await stepped.step(noiseBatch(0, 8, size));
    const seconds = await profiled.profile(noiseBatch(0, 8, size));
    assert.equal(seconds.length, (await profiled.trainingPlan()).steps.length);
    assert.deepEqual(await profiled.exportState(), await stepped.exportState());
    await stepped.dispose();
    await profiled.dispose();
  });
}

for (const device of withBfloat16) {
  const run = (name: string) => path.join(folder, `${device}-${name}`);
  const photos = path.join(folder, `${device}-photos`);
  const quick = (out: string, others: TrainOptions = {}): TrainOptions => ({
    ...{ folder: photos, model: 'resnet20', imageSize: 8, batchSize: 4, epochs: 2 },
    ...{ momentum: 0.9, precision: 'bf16', device, out: run(out) },
    ...others,
  });

  test(`${device}: a run in bf16 is one from its stop on, and evaluated in fp32`, async () => {
    // Nine images in batches of four: the last batch is a single image.
    await drawImages(photos, { train: [5, 4], val: [2, 1] });
    const whole = await train(quick('whole'));
    const stop = new AbortController();
    await train(quick('stopped', { signal: stop.signal }), {
      step: ({ globalStep }) => globalStep === 4 && stop.abort(),
    });
    await assert.rejects(train({ resume: run('stopped'), precision: 'fp32' }), {
      code: 'resume-option',
      message: /precision is "fp32" now, the run was started with "bf16"; leave it out/,
    });
    const resumed = await train({ resume: run('stopped') });
    const [a, b] = await Promise.all([whole, resumed].map(({ last }) => readFile(last)));
    assert.ok(a!.equals(b!));

    const { training } = await loadCheckpoint(resumed.best!);
    assert.equal(training!.config.precision, 'bf16');
    const stored = await readFile(path.join(run('whole'), 'config.json'), 'utf8');
    assert.equal((JSON.parse(stored) as { precision: string }).precision, 'bf16');
    const { loss } = await evaluate(resumed.best!, photos, { device, batchSize: 3 });
    assert.equal(loss, training!.progress.epochs.at(-1)!.valLoss);
  });

  test(`${device}: a run without a precision is one in fp32`, async () => {
    const { precision, ...others } = quick('plain', { epochs: 1 });
    const [plain, named] = [
      await train(others),
      await train({ ...others, precision: 'fp32', out: run('named') }),
    ];
    const mixed = await train({ ...others, precision, out: run('mixed') });
    const [a, b, c] = await Promise.all(
      [plain, named, mixed].map(({ last }) => loadCheckpoint(last)),
    );
    assert.deepEqual(a!.state, b!.state);
    assert.notDeepEqual(a!.state, c!.state);
  });
}

test('a precision that is none is refused with those there are', async () => {
  const { backend } = engines.find(({ title }) => title === 'reference')!;
  await assert.rejects(sessionOn(backend!, 'bf61' as Precision), {
    code: 'option',
    message: 'precision must be one of fp32, bf16, got "bf61"; did you mean "bf16"?',
  });
});
