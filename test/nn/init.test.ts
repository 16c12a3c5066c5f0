/**
 * Initial weights against the distributions of PyTorch and torchvision: support, moments,
 * independence. Estimates may be five standard errors off, which chance does once in 1.7 million;
 * the seeds are fixed, so that a test that passes always passes.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Model } from '../../examples/dogs-vs-cats.js';
import { resnet18 } from '../../src/models/resnet.js';
import { heNormal, pytorchDefault } from '../../src/nn/init.js';
import { batchNorm2d, BatchNorm2d, conv2d, linear, sequential } from '../../src/nn/layers.js';
import type { Module } from '../../src/nn/module.js';
import type { Parameter } from '../../src/nn/parameter.js';
import { initialValues } from '../../src/train/initialize.js';

type Values = ReadonlyMap<string, Float32Array>;

const draw = (model: Module, seed = 0): Values => new Map(initialValues(model, seed));

/** The mean of `of(x)` over the values, in float64. */
function average(values: Float32Array, of: (x: number) => number): number {
  let sum = 0;
  for (const value of values) sum += of(value);
  return sum / values.length;
}

/** `variance` is that of one summand: the standard error is √(variance/n). */
function assertMean(
  what: string,
  values: Float32Array,
  of: (x: number) => number,
  expected: { readonly mean: number; readonly variance: number },
): void {
  const found = average(values, of);
  const tolerance = 5 * Math.sqrt(expected.variance / values.length);
  assert.ok(
    Math.abs(found - expected.mean) <= tolerance,
    `${what}: ${found}, expected ${expected.mean} ± ${tolerance}`,
  );
}

/** The first, second and fourth moment of U(-b, b), the support, and that it is used up to its ends. */
function assertUniform(key: string, values: Float32Array, b: number): void {
  const n = values.length;
  const moment = (power: number) => b ** power / (power + 1); // E x^power for even powers
  assertMean(`${key}: mean`, values, (x) => x, { mean: 0, variance: moment(2) });
  for (const power of [2, 4]) {
    assertMean(`${key}: moment ${power}`, values, (x) => x ** power, {
      mean: moment(power),
      variance: moment(2 * power) - moment(power) ** 2,
    });
  }
  const [least, most] = extremes(values);
  assert.ok(least >= -Math.fround(b) && most <= Math.fround(b), `${key}: ${least} to ${most}`);
  // P(none of n above b·(1 - 2c)) = (1 - c)ⁿ < exp(-c·n): one in a million for c = 14/n.
  const edge = b * (1 - 28 / n);
  if (n >= 56) assert.ok(least < -edge && most > edge, `${key}: ${least} to ${most} of ±${b}`);
}

/** The first, second and fourth moment of N(0, σ²): 0, σ², 3σ⁴ with variances σ², 2σ⁴, 96σ⁸. */
function assertNormal(key: string, values: Float32Array, std: number): void {
  assertMean(`${key}: mean`, values, (x) => x, { mean: 0, variance: std ** 2 });
  const square = { mean: std ** 2, variance: 2 * std ** 4 };
  assertMean(`${key}: moment 2`, values, (x) => x ** 2, square);
  const fourth = { mean: 3 * std ** 4, variance: 96 * std ** 8 };
  assertMean(`${key}: moment 4`, values, (x) => x ** 4, fourth);
}

function extremes(values: Float32Array): [number, number] {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return [least, most];
}

/** Of two weights with as many values: for independent ones r·√n is standard normal. */
function correlation(a: Float32Array, b: Float32Array): number {
  const n = Math.min(a.length, b.length);
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

/** fanIn = C·R·S and fanOut = K·R·S of a weight (K, R, S, C) or (out, in). */
function fans({ shape }: Parameter): { fanIn: number; fanOut: number } {
  const [K = 1, ...rest] = shape;
  const fanIn = rest.reduce((product, size) => product * size, 1);
  return { fanIn, fanOut: (K * fanIn) / shape.at(-1)! };
}

function assertBatchNorms(model: Module, values: Values): void {
  let found = 0;
  for (const [path, module] of model.namedModules()) {
    if (!(module instanceof BatchNorm2d)) continue;
    found++;
    for (const [name, value] of [
      ['weight', 1],
      ['bias', 0],
      ['running_mean', 0],
      ['running_var', 1],
    ] as const) {
      assert.deepEqual(extremes(values.get(`${path}.${name}`)!), [value, value], `${path}.${name}`);
    }
  }
  assert.equal(found, 20);
}

describe('the rules', () => {
  test('PyTorch’s default is Kaiming uniform with a = √5, whose bound is 1/√fanIn', () => {
    for (const fanIn of [1, 27, 64, 576, 4608]) {
      // torch.nn.init.kaiming_uniform_: gain = √(2/(1 + a²)), bound = √3·gain/√fanIn.
      const gain = Math.sqrt(2 / (1 + Math.sqrt(5) ** 2));
      const bound = (Math.sqrt(3) * gain) / Math.sqrt(fanIn);
      const init = pytorchDefault(fanIn);
      assert.equal(init.kind, 'uniform');
      assert.ok(Math.abs(init.kind === 'uniform' ? init.bound / bound - 1 : 1) < 1e-15);
    }
  });

  test('He’s rule is a normal distribution of variance 2/fan', () => {
    const init = heNormal(576);
    assert.ok(init.kind === 'normal' && Math.abs(init.std ** 2 * 576 - 2) < 1e-14);
  });

  test('layers: weights and biases uniform in ±1/√fanIn, batch-norm 1 and 0', () => {
    const model = sequential(
      conv2d(16, 256, { kernelSize: 5 }),
      batchNorm2d(256),
      linear(300, 400),
      conv2d(8, 512, { kernelSize: 1, init: heNormal(512) }),
    );
    const values = draw(model, 3);
    assertUniform('conv weight', values.get('0.weight')!, 1 / Math.sqrt(16 * 25));
    assertUniform('conv bias', values.get('0.bias')!, 1 / Math.sqrt(16 * 25));
    assertUniform('linear weight', values.get('2.weight')!, 1 / Math.sqrt(300));
    assertUniform('linear bias', values.get('2.bias')!, 1 / Math.sqrt(300));
    // A convolution with another rule for its weight keeps PyTorch's for its bias.
    assertNormal('conv weight by He', values.get('3.weight')!, Math.sqrt(2 / 512));
    assertUniform('its bias', values.get('3.bias')!, 1 / Math.sqrt(8));
    assert.deepEqual(extremes(values.get('1.weight')!), [1, 1]);
    assert.deepEqual(extremes(values.get('1.bias')!), [0, 0]);
  });
});

describe('the article’s network', () => {
  const model = new Model(2);
  let values: Values;
  before(() => (values = draw(model)));

  test('convolution and linear weights are Kaiming uniform with a = √5', () => {
    const weights = weightsOf(model);
    assert.equal(weights.length, 21);
    for (const [key, parameter] of weights) {
      assertUniform(key, values.get(key)!, 1 / Math.sqrt(fans(parameter).fanIn));
    }
  });

  test('the linear bias is uniform in ±1/√512, batch-norms are 1 and 0', () => {
    assertUniform('fc.bias', values.get('fc.bias')!, 1 / Math.sqrt(512));
    assertBatchNorms(model, values);
  });

  test('resnet18 with the 3×3 stem starts with the same values', () => {
    assert.deepEqual(draw(resnet18({ stem: 'conv3x3', classes: 2 })), values);
  });

  test('the same seed gives the same values, another seed independent ones', () => {
    assert.deepEqual(draw(new Model(2)), values);
    for (const seed of [1, 2 ** 32]) {
      const others = draw(new Model(2), seed);
      for (const [key] of weightsOf(model)) {
        const [a, b] = [values.get(key)!, others.get(key)!];
        const r = correlation(a, b);
        assert.ok(Math.abs(r) < 5 / Math.sqrt(a.length), `${key}: r = ${r}`);
      }
    }
  });

  test('every two parameters have streams of their own', () => {
    const weights = weightsOf(model).map(([key]) => key);
    let pairs = 0;
    for (const [i, first] of weights.entries()) {
      for (const second of weights.slice(i + 1)) {
        // The first values: what would agree if two streams were one, whatever the sizes.
        const [a, b] = [first, second].map((key) => values.get(key)!.subarray(0, 4096));
        const r = correlation(a!, b!);
        const n = Math.min(a!.length, b!.length);
        assert.ok(Math.abs(r) < 5 / Math.sqrt(n), `${first}, ${second}: r = ${r}`);
        pairs++;
      }
    }
    assert.equal(pairs, (21 * 20) / 2);
  });

  test('values of one parameter do not depend on their neighbours', () => {
    for (const [key] of weightsOf(model)) {
      const all = values.get(key)!;
      // One block of the generator is four words; 9 and 64 are the filter's and the channels' step.
      for (const lag of [1, 2, 3, 4, 9, 64]) {
        const r = correlation(all.subarray(lag), all.subarray(0, -lag));
        assert.ok(Math.abs(r) < 5 / Math.sqrt(all.length - lag), `${key}, lag ${lag}: r = ${r}`);
      }
    }
  });
});

describe('torchvision’s ResNet-18', () => {
  const model = resnet18();
  let values: Values;
  before(() => (values = draw(model, 1)));

  test('convolutions are He normal over fanOut = K·R·S', () => {
    const convolutions = weightsOf(model).filter(([, { shape }]) => shape.length === 4);
    assert.equal(convolutions.length, 20);
    for (const [key, parameter] of convolutions) {
      assertNormal(key, values.get(key)!, Math.sqrt(2 / fans(parameter).fanOut));
    }
  });

  test('where K and C differ, fanOut is told from fanIn', () => {
    const variance = (key: string) => average(values.get(key)!, (x) => x ** 2);
    // (64, 7, 7, 3): 2/(64·49), not 2/(3·49); (128, 1, 1, 64): 2/128, not 2/64.
    assert.ok(Math.abs(variance('conv1.weight') / (2 / (64 * 49)) - 1) < 0.1);
    assert.ok(Math.abs(variance('layer2.0.downsample.0.weight') / (2 / 128) - 1) < 0.1);
  });

  test('the linear layer is PyTorch’s default, batch-norms are 1 and 0', () => {
    assertUniform('fc.weight', values.get('fc.weight')!, 1 / Math.sqrt(512));
    assertUniform('fc.bias', values.get('fc.bias')!, 1 / Math.sqrt(512));
    assertBatchNorms(model, values);
  });
});

/** Weights of convolutions and linear layers, by key. */
function weightsOf(model: Module): [string, Parameter][] {
  return [...model.namedParameters()].filter(([, { shape }]) => shape.length > 1);
}
