import assert from 'node:assert/strict';
import test from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import { openReference } from '../../src/backend/reference/index.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { benchStep, planStep, profileStep, Session, sgd } from '../../src/index.js';
import { emitInto } from '../../src/ops/emit.js';
import { compilePlan } from '../../src/plan/compile.js';
import { groupSteps, profiledSteps, together } from '../../src/train/profile.js';
import { median } from '../../src/train/timing.js';
import { noiseBatch, smallResNet, smallSessionOptions } from './small-resnet.js';

/** A convolution of 2·(4·4·4)·(3·3·4) = 4608 flop and two passes over 64 values. */
function smallPlan() {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => 'block.conv');
  const x = builder.input('x', { shape: [1, 4, 4, 4], dtype: 'f32' });
  const weight = builder.input('weight', { shape: [4, 3, 3, 4], dtype: 'f32' });
  const [y] = emit('conv2d', [x, weight], { stride: 1, padding: 1 });
  builder.output('z', emit('relu', [emit('relu', [y!], {})[0]!], {})[0]!);
  return compilePlan(builder.build(), { convAlgorithms: ['direct'] });
}

const convBytes = 4 * (64 + 144 + 64);
const reluBytes = 4 * (64 + 64);

test("a step's share of the roofline is the larger of its two least times by its own", () => {
  const peaks = { flopsPerSecond: 4608, bytesPerSecond: 1024 };
  const steps = profiledSteps(smallPlan(), [Float64Array.of(5, 2, 1)], peaks);
  const [conv, relu] = steps;
  // 1 s for its arithmetic, 1.0625 s for its bytes.
  assert.equal(conv!.limit, 'memory');
  assert.equal(conv!.rooflineSeconds, convBytes / 1024);
  assert.equal(conv!.roofline, convBytes / 1024 / 5);
  assert.equal(conv!.flopsPerSecond, 4608 / 5);
  assert.equal(conv!.bytesPerSecond, convBytes / 5);
  assert.equal(conv!.share, 5 / 8);
  assert.equal(relu!.roofline, reluBytes / 1024 / 2);
  assert.equal(relu!.flopsPerSecond, 0);

  const slower = { flopsPerSecond: 460.8, bytesPerSecond: 1024 };
  const [bound] = profiledSteps(smallPlan(), [Float64Array.of(5, 2, 1)], slower);
  assert.equal(bound!.limit, 'arithmetic');
  assert.equal(bound!.roofline, 10 / 5);
});

test('times are medians, a step at a time', () => {
  const runs = [Float64Array.of(1, 9, 2), Float64Array.of(5, 1, 2), Float64Array.of(3, 5, 8)];
  const steps = profiledSteps(smallPlan(), runs, { flopsPerSecond: 1, bytesPerSecond: 1 });
  assert.deepEqual(
    steps.map(({ seconds }) => seconds),
    [3, 5, 2],
  );
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test('steps of one kind are grouped, the longest first', () => {
  const peaks = { flopsPerSecond: 4608, bytesPerSecond: 1024 };
  const steps = profiledSteps(smallPlan(), [Float64Array.of(2, 2, 1)], peaks);
  const groups = groupSteps(steps);
  assert.deepEqual(
    groups.map(({ kind, algorithm, count, seconds }) => [kind, algorithm, count, seconds]),
    [
      ['relu', null, 2, 3],
      ['conv2d', 'direct', 1, 2],
    ],
  );
  assert.equal(groups[0]!.roofline, (2 * reluBytes) / 1024 / 3);
  assert.equal(groups[0]!.share, 3 / 5);
  assert.equal(together(steps).share, 1);
  assert.equal(together(steps).flops, smallPlan().flops);
});

test('a session is profiled by training steps: the same weights as by `step`', async () => {
  const options = { ...smallSessionOptions(2, 16), optimizer: sgd({ lr: 0.1, momentum: 0.9 }) };
  const backend = openReference();
  const [stepped, profiled] = [
    await Session.create(smallResNet(), backend, options),
    await Session.create(smallResNet(), backend, options),
  ];
  for (let i = 0; i < 2; i++) {
    await stepped.step(noiseBatch(i, 2, 16));
    const seconds = await profiled.profile(noiseBatch(i, 2, 16));
    assert.equal(seconds.length, (await profiled.trainingPlan()).steps.length);
  }
  assert.equal(profiled.stepsTaken, 2);
  assert.deepEqual(await profiled.exportState(), await stepped.exportState());
});

test('an engine that does not time its steps says so', async () => {
  const reference = openReference();
  const untimed: Backend = {
    ...reference,
    async compile(plan, sharing) {
      const executable = await reference.compile(plan, sharing);
      return Object.assign(executable, { profile: undefined });
    },
  };
  const options = { ...smallSessionOptions(2, 16), optimizer: sgd({ lr: 0.1 }) };
  const session = await Session.create(smallResNet(), untimed, options);
  await assert.rejects(session.profile(noiseBatch(0, 2, 16)), {
    code: 'no-profile',
    message: 'profile: reference (TypeScript, 1 thread) does not time its steps',
  });
});

test('profileStep has the figures of its network, and refuses to time nothing', async () => {
  const profile = await profileStep({ imageSize: 8, batchSize: 1, steps: 2, warmup: 0 });
  assert.equal(profile.runs, 2);
  assert.equal(
    profile.groups.reduce((sum, { count }) => sum + count, 0),
    profile.steps.length,
  );
  assert.ok(profile.total.seconds > 0 && profile.total.seconds <= profile.secondsPerStep);
  await assert.rejects(profileStep({ steps: 0 }), {
    message: 'steps must be a whole number of at least 1, got 0',
  });
});

test('an evaluation is measured in no precision but its own', async () => {
  for (const measure of [benchStep, profileStep, planStep]) {
    await assert.rejects(measure({ inference: true, precision: 'bf16' }), {
      code: 'option',
      message:
        'the precision bf16 is of training, an evaluation is always in fp32; ' +
        'measure a training step in it, or leave it out',
    });
  }
});
