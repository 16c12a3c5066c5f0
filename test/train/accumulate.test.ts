/** A step in micro-batches: what it computes, what it costs, and what is said when memory is short. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { flatten, globalAvgPool2d, maxPool2d, relu } from '../../src/nn/functional.js';
import { conv2d, linear, sequential } from '../../src/nn/layers.js';
import type { Backend } from '../../src/backend/backend.js';
import { dropoutWords } from '../../src/random/philox.js';
import { forecastWithin, withProcess } from '../../src/train/memory-check.js';
import { adamW, sgd } from '../../src/train/optimizers.js';
import { Session, type SessionOptions } from '../../src/train/session.js';
import type { StateDict } from '../../src/train/state-dict.js';
import type { WarningEvent } from '../../src/train/train-options.js';
import { allEngines } from '../parity/backends.js';
import { noiseBatch, smallResNet, smallSessionOptions } from './small-resnet.js';

const engines = await allEngines(2);
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
});

const withoutBatchNorm = () =>
  sequential(
    conv2d(3, 8, { kernelSize: 3, padding: 1 }),
    relu,
    (x) => maxPool2d(x, { kernelSize: 2 }),
    conv2d(8, 17, { kernelSize: 3, padding: 1 }),
    relu,
    globalAvgPool2d,
    flatten,
    linear(17, 3),
  );

const size = 12;
const options = (accumulate: number, others: Partial<SessionOptions> = {}): SessionOptions => ({
  ...smallSessionOptions(8, size),
  optimizer: sgd({ lr: 0.1, momentum: 0.9, weightDecay: 0.01 }),
  accumulate,
  keepGradients: true,
  ...others,
});

/** Each tensor within `roundings` float32 roundings of its largest value. */
function assertClose(found: StateDict, expected: StateDict, roundings: number): void {
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort());
  for (const [key, { data }] of expected) {
    const magnitude = data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    data.forEach((value, i) => {
      const error = Math.abs(found.get(key)!.data[i]! - value);
      assert.ok(error <= roundings * 2 ** -24 * magnitude, `${key}[${i}]: ${error}`);
    });
  }
}

for (const { title, backend, skip } of engines) {
  test(
    `without batch-norm, micro-batches learn as the whole batch on ${title}`,
    { skip },
    async () => {
      // Seven images in parts of at most three: 2, 2 and 3.
      const batch = noiseBatch(0, 7, size);
      const sessions = await Promise.all(
        [1, 3].map((accumulate) =>
          Session.create(withoutBatchNorm(), backend!, options(accumulate, { batchSize: 7 })),
        ),
      );
      const [whole, parts] = sessions as [Session, Session];
      for (let step = 0; step < 2; step++) {
        const [expected, found] = [await whole.step(batch), await parts.step(batch)];
        assert.ok(Math.abs(found.loss - expected.loss) <= 8 * 2 ** -24 * expected.loss);
        assert.equal(found.logits.length, 7 * 3);
        // A weight's gradient is a sum over 7·12·12 pixels, in another order.
        assertClose(await parts.gradients(), await whole.gradients(7), 7 * size * size);
      }
      assertClose(await parts.exportState(), await whole.exportState(), 7 * size * size);
      for (const session of sessions) await session.dispose();
    },
  );
}

const reference = engines.find(({ backend }) => backend?.name === 'reference')!.backend!;

test('batch-norms see a micro-batch at a time, as in steps of that size', async () => {
  const [first, second] = [noiseBatch(1, 4, size), noiseBatch(2, 4, size)];
  const both = {
    images: Uint8Array.of(...first.images, ...second.images),
    labels: Int32Array.of(...first.labels, ...second.labels),
  };
  const still = { optimizer: sgd({ lr: 0 }) };
  const parts = await Session.create(smallResNet(), reference, options(2, still));
  const four = await Session.create(smallResNet(), reference, {
    ...options(1, still),
    batchSize: 4,
  });
  const { loss } = await parts.step(both);
  const halves = [];
  for (const batch of [first, second]) {
    halves.push({ loss: (await four.step(batch)).loss, gradients: await four.gradients() });
  }
  assert.equal(loss, (halves[0]!.loss + halves[1]!.loss) / 2);
  assert.deepEqual(await parts.exportState(), await four.exportState());
  const found = await parts.gradients();
  for (const [key, { data }] of halves[0]!.gradients) {
    const other = halves[1]!.gradients.get(key)!.data;
    const mean = data.map((value, i) => Math.fround(value / 2 + other[i]! / 2));
    assert.deepEqual(found.get(key)!.data, mean, key);
  }
});

test('state between steps is that of a session without micro-batches', async () => {
  const parts = await Session.create(smallResNet(), reference, options(4));
  const whole = await Session.create(smallResNet(), reference, options(1));
  assert.deepEqual(
    [...(await parts.exportState()).keys()].sort(),
    [...(await whole.exportState()).keys()].sort(),
  );
  await parts.importState(await whole.exportState());
  const { images } = noiseBatch(3, 3, size);
  assert.deepEqual(await parts.logits(images), await whole.logits(images));
});

const forecast = (backend: Backend, accumulate: number) =>
  Session.forecast(smallResNet(), backend, {
    ...options(accumulate, { optimizer: adamW({ lr: 0.01 }) }),
    ...{ batchSize: 16, imageSize: 64 },
  });

test('micro-batches need less memory for the same arithmetic, and the forecast says so', () => {
  const [whole, four, sixteen] = [1, 4, 16].map((n) => forecast(reference, n));
  assert.equal(four!.flopsPerStep, whole!.flopsPerStep);
  assert.ok(four!.arenaBytes < whole!.arenaBytes / 3);
  assert.ok(sixteen!.arenaBytes < four!.arenaBytes / 3);
});

/** The forecast of a step of 16 images on an engine with so much memory, of which so much is free. */
function forecastOf(
  memoryLimitBytes: number,
  free = 1e9,
  others: Partial<SessionOptions> = {},
  warnings: WarningEvent[] = [],
) {
  return forecastWithin(
    smallResNet(),
    { ...reference, memoryLimitBytes },
    { ...options(1), batchSize: 16, imageSize: 64, ...others },
    (event) => warnings.push(event),
    free,
  );
}

test('what does not fit is refused or warned of, with the options that would', () => {
  const warnings: WarningEvent[] = [];
  const within = (limit: number, free: number) => forecastOf(limit, free, {}, warnings);
  const { arenaBytes } = within(1e9, 1e9);
  assert.equal(warnings.length, 0);
  assert.throws(() => within(arenaBytes / 3, 1e9), {
    code: 'out-of-memory',
    message:
      /needs \d+ MB of memory, reference .* can have \d+ MB; with --accumulate 4 it needs \d+ MB$/,
  });
  assert.throws(() => within(1000, 1e9), { message: /smaller images or a smaller model/ });
  within(1e9, 128e6 + arenaBytes / 1.5);
  assert.equal(warnings[0]!.code, 'memory');
  assert.match(
    warnings[0]!.message,
    /MB are free; with --accumulate 2 it needs \d+ MB, with --precision bf16 it needs \d+ MB$/,
  );
});

test('bf16 is named where it is enough, alone or with the parts, and not yet chosen', () => {
  const one = { batchSize: 1 };
  const { arenaBytes: image } = forecastOf(1e9, 1e9, one);
  assert.throws(() => forecastOf(image / 1.5, 1e9, one), {
    message: /can have \d+ [kM]B; with --precision bf16 it needs \d+ [kM]B$/,
  });
  // Image by image it is too much in fp32.
  assert.throws(() => forecastOf(image / 1.5), {
    message: /can have \d+ [kM]B; with --accumulate 16 --precision bf16 it needs \d+ [kM]B$/,
  });
  const mixed = { precision: 'bf16' } as const;
  const { arenaBytes } = forecastOf(1e9, 1e9, mixed);
  assert.throws(() => forecastOf(arenaBytes / 1.5, 1e9, mixed), {
    message: /can have \d+ MB; with --accumulate 2 it needs \d+ MB$/,
  });
});

test('of the process come the arena and two copies of the state on top of what it holds', () => {
  const small = forecast(reference, 1);
  const large = {
    ...small,
    arenaBytes: small.arenaBytes + 4e9,
    stateBytes: small.stateBytes + 4e9,
  };
  const more = withProcess(large).peakMemoryBytes - withProcess(small).peakMemoryBytes;
  // Between the two readings of its size the process may have grown a little.
  assert.ok(Math.abs(more - 12e9) < 1e8, `${more} bytes`);
  assert.ok(withProcess(small).peakMemoryBytes > process.memoryUsage.rss() + small.arenaBytes);
});

test('micro-batches without an image are refused', async () => {
  await assert.rejects(Session.create(smallResNet(), reference, options(9)), {
    code: 'option',
    message: 'accumulate must be at most batchSize, 8, got 9',
  });
  const parts = await Session.create(smallResNet(), reference, options(2));
  await assert.rejects(parts.profile(noiseBatch(0, 8, size)), {
    code: 'no-profile',
    message: /a step of 2 micro-batches is several plans/,
  });
});

test('each micro-batch has dropout masks of its own, a step its former ones', () => {
  const words = [0, 1, 2].map((part) => [...dropoutWords(5, 2 ** 32 + 7, part)].join());
  assert.equal(new Set(words).size, 3);
  assert.equal(words[0], [...dropoutWords(5, 2 ** 32 + 7)].join());
});
