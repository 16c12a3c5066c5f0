/** Sizes, keys and stages of every network, against those of PyTorch's definitions. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test, { describe } from 'node:test';
import { features } from '../../src/models/backbone.js';
import type { NetworkOptions } from '../../src/models/options.js';
import { createModel, modelDefaults, modelNames } from '../../src/models/registry.js';
import { summarize } from '../../src/models/summary.js';
import type { Module } from '../../src/nn/module.js';
import { Trace } from '../../src/nn/trace.js';
import { modelFixture } from '../parity/model-cases.js';

interface Entry {
  readonly model: string;
  readonly options: NetworkOptions;
  readonly classes: number;
  readonly imageSize: number;
  readonly parameters: number;
  readonly macs: number;
  /** (C, H, W) of the stages' outputs for one image. */
  readonly stages: readonly (readonly [number, number, number])[];
  /** SHA-256 of all keys with their shapes. */
  readonly stateDict: string;
}

const catalogue = modelFixture<Entry>('catalogue');

/** In the file layout, in the order of the state dict. */
function hashOfStateDict(model: Module): string {
  const hash = createHash('sha256');
  for (const [key, { shape }] of model.namedParameters()) {
    const [K, R, S, C] = shape;
    const inFile = shape.length === 4 ? [K, C, R, S] : shape;
    hash.update(`${key} [${inFile.join(', ')}]\n`);
  }
  return hash.digest('hex');
}

for (const { model: name, options, ...expected } of catalogue) {
  const chosen = Object.entries(options).map(([key, value]) => `, ${key} ${String(value)}`);
  describe(`${name}${chosen.join('')}`, () => {
    const model = createModel(name, options);
    const { classes, imageSize } = expected;

    test('is made for these classes and images', () => {
      assert.deepEqual(modelDefaults(name), { classes, imageSize });
    });

    test("has PyTorch's parameters and multiply-adds", () => {
      const { parameters, macs } = summarize(model, imageSize);
      assert.deepEqual([parameters, macs], [expected.parameters, expected.macs]);
    });

    test("has PyTorch's state-dict keys, in their order, with their shapes", () => {
      assert.equal(hashOfStateDict(model), expected.stateDict);
    });

    test("has PyTorch's outputs of stages, with the strides and channels that it states", () => {
      const trace = new Trace(model, { training: false });
      const shape = [1, imageSize, imageSize, 3];
      const outputs = features(model, trace.input('images', { shape, dtype: 'f32' }));
      const found = Object.entries(outputs);
      assert.deepEqual(
        found.map(([, { tensor }]) => [tensor.shape[3], tensor.shape[1], tensor.shape[2]]),
        expected.stages,
      );
      for (const [stage, { stride, channels, tensor }] of found) {
        assert.equal(channels, tensor.shape[3], stage);
        // AlexNet's windows stop before the edge.
        const missing = imageSize / stride - tensor.shape[1]!;
        assert.ok(missing >= 0 && missing <= 1, `${stage}: stride ${stride}`);
      }
    });
  });
}

test('every model of the registry is in the catalogue', () => {
  const known = new Set(catalogue.map(({ model }) => model));
  assert.deepEqual(
    modelNames.filter((name) => !known.has(name)),
    [],
  );
});

test('the parameters are those that are published', () => {
  const published = {
    resnet18: 11_689_512,
    resnet34: 21_797_672,
    resnet50: 25_557_032,
    resnet101: 44_549_160,
    resnet152: 60_192_808,
    wide_resnet50_2: 68_883_240,
    resnext50_32x4d: 25_028_904,
    alexnet: 61_100_840,
    vgg16: 138_357_544,
    vgg16_bn: 138_365_992,
    resnet20: 269_722,
  };
  for (const [name, parameters] of Object.entries(published)) {
    assert.equal(createModel(name).parameterCount(), parameters, name);
  }
});
