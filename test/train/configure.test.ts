import assert from 'node:assert/strict';
import test from 'node:test';
import type { InstructionSet } from '../../src/backend/devices.js';
import { PlusxError } from '../../src/errors.js';
import type { Precision } from '../../src/plan/precision.js';
import { configure, configureResumed, trainConfigSchema } from '../../src/train/configure.js';
import type { TrainOptions } from '../../src/train/train-options.js';

const folder = 'photos';

test('a folder alone is a complete configuration, with the optimizer’s own defaults', () => {
  const { lr, weightDecay, epochs, batchSize } = configure({ folder });
  assert.deepEqual([lr, weightDecay, epochs, batchSize], [0.01, 0, 10, 8]);
  const adamw = configure({ folder, optimizer: 'adamw' });
  assert.deepEqual([adamw.lr, adamw.weightDecay], [0.001, 0.01]);
});

const illegal: [TrainOptions, RegExp][] = [
  [{}, /no folder is given/],
  [{ folder, imageSize: 0 }, /imageSize must be a whole number from 1 to 4096 pixels, got 0/],
  [{ folder, imageSize: 2.5 }, /imageSize .* got 2\.5/],
  [{ folder, lr: NaN }, /lr must be a finite number above 0, got NaN/],
  [{ folder, lr: 0 }, /lr .* got 0/],
  [{ folder, lr: Infinity }, /lr .* got Infinity/],
  [{ folder, epochs: 0 }, /epochs must be a whole number of at least 1, got 0/],
  [{ folder, batchSize: -8 }, /batchSize .* got -8/],
  [{ folder, momentum: 1 }, /momentum must be at least 0 and below 1, got 1/],
  [{ folder, weightDecay: -1 }, /weightDecay .* got -1/],
  [{ folder, seed: 0.5 }, /seed .* got 0\.5/],
  [{ folder, valSplit: 1 }, /valSplit must be above 0 and below 1, got 1/],
  [{ folder, checkpointEvery: 0 }, /checkpointEvery .* got 0/],
  [{ folder, threads: 0 }, /threads .* got 0/],
  [
    { folder, instructionSet: 'avx3' as InstructionSet },
    /instructionSet must be one of avx512-bf16, .*got "avx3"; did you mean "avx2"\?/,
  ],
  [
    { folder, device: 'wasm', instructionSet: 'avx2' },
    /instructionSet must be left out with the device "wasm".* got "avx2"/,
  ],
  [{ folder, accumulate: 9 }, /accumulate must be at most .*batchSize 8, got 9/],
  [
    { folder, precision: 'bf61' as Precision },
    /precision must be one of fp32, bf16, got "bf61"; did you mean "bf16"\?/,
  ],
  [{ folder, headLr: 0 }, /headLr must be a finite number above 0, got 0/],
  [{ folder, weights: '' }, /weights must be the path of a file, got ""/],
  [{ folder, epochs: 3, warmupEpochs: 4 }, /warmupEpochs .* number of epochs, 3, got 4/],
  [{ folder, optimizer: 'adamw', momentum: 0.9 }, /momentum must be 0 with adamw.*got 0\.9/],
  [
    { folder, model: 'resnet81' },
    /model must be one of resnet18.*got "resnet81"; did you mean "resnet18"\?/,
  ],
  [{ folder, model: 'alexnet', stem: 'conv3x3' }, /alexnet has no option stem/],
  [{ folder, stem: 'conv4x4' as 'conv3x3' }, /stem "conv4x4" is not known; did you mean "conv3x3"/],
  [{ folder, model: 'vgg16', dropout: -0.1 }, /dropout must be from 0 to below 1, got -0\.1/],
  [{ folder, batchsize: 3 } as TrainOptions, /"batchsize" is not known; did you mean "batchSize"/],
];

test('an illegal option is refused with its name, its rule and its value', () => {
  for (const [options, message] of illegal) {
    assert.throws(
      () => configure(options),
      (error) => error instanceof PlusxError && message.test(error.message),
      String(message),
    );
  }
});

test('a resumed run takes its own options, and refuses one that would change its result', () => {
  const stored = configure({ folder, lr: 0.2, epochs: 3, seed: 5 });
  assert.deepEqual(configureResumed(stored, {}), stored);
  assert.deepEqual(configureResumed(stored, { lr: 0.2, seed: 5 }), stored);
  assert.equal(configureResumed(stored, { epochs: 9 }).epochs, 9);
  assert.equal(configureResumed(stored, { folder: 'moved', threads: 1 }).folder, 'moved');
  assert.throws(() => configureResumed(stored, { lr: 0.1 }), {
    code: 'resume-option',
    message: /lr is 0\.1 now, the run was started with 0\.2; leave it out/,
  });
  assert.throws(() => configureResumed(stored, { stem: 'conv3x3' }), {
    message: /stem is "conv3x3" now, the run was started with null/,
  });
  assert.throws(() => configureResumed(stored, { epochs: 2 }), {
    message: /epochs is 2 now, the run was started with 3; it can be raised, not lowered/,
  });
});

test('images are by default of the size that the network was made for', () => {
  assert.equal(configure({ folder }).imageSize, 224);
  assert.equal(configure({ folder, model: 'resnet56' }).imageSize, 32);
  assert.equal(configure({ folder, model: 'resnet56', imageSize: 64 }).imageSize, 64);
});

test('a configuration from before there were options of networks chooses none', () => {
  const { stem, ...now } = configure({ folder, stem: 'conv3x3' });
  const newer = ['variant', 'shortcut', 'zeroInitResidual', 'squeezeExcitation', 'dropout'];
  const older = Object.fromEntries(Object.entries(now).filter(([key]) => !newer.includes(key)));
  assert.deepEqual(trainConfigSchema.parse({ ...older, stem }), { stem, ...now });
});

test('a run goes on with its instruction set, and on another engine without one', () => {
  const stored = configure({ folder, instructionSet: 'avx2' });
  assert.equal(configureResumed(stored, {}).instructionSet, 'avx2');
  assert.equal(configureResumed(stored, { instructionSet: 'avx512' }).instructionSet, 'avx512');
  assert.equal(configureResumed(stored, { device: 'wasm' }).instructionSet, null);
});

test('a configuration from before there were instruction sets goes on with the best one', () => {
  const older = Object.fromEntries(
    Object.entries(configure({ folder })).filter(([key]) => key !== 'instructionSet'),
  );
  assert.equal(trainConfigSchema.parse(older).instructionSet, null);
});

test('a run keeps its precision: another would change its steps', () => {
  assert.equal(configure({ folder }).precision, 'fp32');
  const stored = configure({ folder, precision: 'bf16' });
  assert.equal(configureResumed(stored, {}).precision, 'bf16');
  assert.equal(configureResumed(stored, { precision: 'bf16' }).precision, 'bf16');
  assert.throws(() => configureResumed(stored, { precision: 'fp32' }), {
    code: 'resume-option',
    message: /precision is "fp32" now, the run was started with "bf16"; leave it out/,
  });
});

test('a configuration from before there was a precision goes on in fp32', () => {
  const { precision, ...older } = configure({ folder });
  assert.equal(trainConfigSchema.parse(older).precision, precision);
  assert.throws(() => configureResumed(trainConfigSchema.parse(older), { precision: 'bf16' }), {
    message: /precision is "bf16" now, the run was started with "fp32"/,
  });
});

test('a configuration from before there was fine-tuning trains everything, in one part', () => {
  const added = { weights: null, freeze: 'none', headLr: null, freezeStatistics: false };
  const fields = { ...added, accumulate: 1 };
  const now = configure({ folder });
  const older = Object.fromEntries(Object.entries(now).filter(([key]) => !(key in fields)));
  assert.deepEqual(trainConfigSchema.parse(older), now);
});

test('CIFAR-10 says its own image size, which may be told otherwise', () => {
  assert.equal(configure({ folder: 'cifar10:data' }).imageSize, 32);
  assert.equal(configure({ folder: 'cifar10:data', imageSize: 64 }).imageSize, 64);
});
