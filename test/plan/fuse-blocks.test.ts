/**
 * Fusion around skip connections, groups, squeeze-and-excitation, dropout and the shortcut without parameters: the fused
 * plan computes what the plain one does, and grouped convolutions keep to their own algorithm.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { kernelCapabilities } from '../../src/backend/program.js';
import { openReference } from '../../src/backend/reference/index.js';
import type { TensorData } from '../../src/backend/backend.js';
import { elementCount } from '../../src/graph/graph.js';
import {
  batchNorm2d,
  conv2d,
  dropout,
  flatten,
  globalAvgPool2d,
  identityShortcut,
  linear,
  Module,
  relu,
  resnet18,
  scaleChannels,
  sequential,
  sgd,
  sigmoid,
  type Tensor,
} from '../../src/index.js';
import { BasicBlock } from '../../src/models/blocks.js';
import { compilePlan } from '../../src/plan/compile.js';
import { dropoutWords } from '../../src/random/philox.js';
import { initialValues } from '../../src/train/initialize.js';
import { trainingGraph } from '../../src/train/training-graph.js';
import { partCases } from '../backend/convolution-cases.js';
import { runCase } from '../backend/run-case.js';
import { noiseBatch, smallSessionOptions } from '../train/small-resnet.js';

/** A ResNeXt block whose residual is excited and whose shortcut has no parameters. */
class Block extends Module {
  readonly conv1 = conv2d(8, 16, { kernelSize: 1, bias: false });
  readonly bn1 = batchNorm2d(16);
  readonly conv2 = conv2d(16, 16, { kernelSize: 3, padding: 1, groups: 4, bias: false });
  readonly bn2 = batchNorm2d(16);
  readonly conv3 = conv2d(16, 16, { kernelSize: 1, bias: false });
  readonly bn3 = batchNorm2d(16);
  readonly squeeze = conv2d(16, 4, { kernelSize: 1 });
  readonly excite = conv2d(4, 16, { kernelSize: 1 });

  override forward(x: Tensor): Tensor {
    let y = relu(this.bn1(this.conv1(x)));
    y = this.bn3(this.conv3(relu(this.bn2(this.conv2(y)))));
    const scale = sigmoid(this.excite(relu(this.squeeze(globalAvgPool2d(y)))));
    const skip = identityShortcut(x, { stride: 1, outChannels: 16 });
    return relu(scaleChannels(y, scale).add(skip));
  }
}

const model = sequential(
  conv2d(3, 8, { kernelSize: 3, padding: 1, bias: false }),
  batchNorm2d(8),
  relu,
  new Block(),
  dropout({ p: 0.3 }),
  (x) => identityShortcut(x, { stride: 2, outChannels: 20 }),
  globalAvgPool2d,
  flatten,
  linear(20, 3),
);
/** As the article has it: no pooling between the stem and the first block. */
const article = sequential(
  conv2d(3, 8, { kernelSize: 3, padding: 1, bias: false }),
  batchNorm2d(8),
  relu,
  new BasicBlock(8, 8),
  new BasicBlock(8, 12, 2),
  globalAvgPool2d,
  flatten,
  linear(12, 3),
);

const N = 2;
const optionsOf = (imageSize: number) => ({
  ...smallSessionOptions(N, imageSize),
  optimizer: sgd({ lr: 0.1, momentum: 0.9 }),
});
const options = optionsOf(9);
const graph = trainingGraph(model, options);

/** The mask of a relu in front of one whose mask the normalisation computes again is a pass of its own. */
const reluTwice = sequential(
  conv2d(3, 8, { kernelSize: 3, padding: 1, bias: false }),
  batchNorm2d(8),
  relu,
  relu,
  globalAvgPool2d,
  flatten,
  linear(8, 3),
);

for (const [name, network] of Object.entries({
  'such a network': model,
  "one like the article's": article,
  'one with a relu twice': reluTwice,
})) {
  // Of 8 pixels images end where a slot may begin: they come in parts.
  for (const imageSize of [8, 9]) {
    test(`a fused step of ${name}, ${imageSize} px, computes what the plain one does`, () =>
      expectSameFused(network, imageSize));
  }
}

test('the relu before a block is computed as its convolution and its sum load it', () => {
  const articles = trainingGraph(resnet18({ stem: 'conv3x3' }), { ...options, imageSize: 64 });
  const { steps, paths } = compilePlan(articles, kernelCapabilities);
  const sums = steps.filter((step) => step.kind === 'scaleShift');
  assert.equal(paths[steps.indexOf(sums[0]!)], 'layer1.0');
  assert.deepEqual(
    sums.filter(({ residualRelu }) => residualRelu),
    sums.slice(0, 1),
  );
});

test('gradients are added by the shortcut, or as the relu before a block masks and sums them', () => {
  const articles = trainingGraph(resnet18({ stem: 'conv3x3' }), { ...options, imageSize: 64 });
  const { steps, paths } = compilePlan(articles, kernelCapabilities);
  const masks = steps.filter((step) => step.kind === 'reluBackwardSums');
  assert.deepEqual(
    masks.map(({ other }) => other !== null),
    [false, true, false, true, false, true, false, true],
  );
  // A shortcut's normalisation sums the same gradient, as it has been stored.
  const sums = steps.filter((step) => step.kind === 'batchNormBackwardSums' && !step.scale);
  assert.deepEqual(
    sums.map((step) => paths[steps.indexOf(step)]),
    ['layer4.0.downsample.1', 'layer3.0.downsample.1', 'layer2.0.downsample.1'],
  );
  const shortcuts = steps.filter((step) => step.kind === 'conv2dBackwardInput' && step.other);
  assert.equal(shortcuts.length, 3);
  // The stem has no mask of its own.
  assert.equal(steps.filter(({ kind }) => kind === 'add').length, 1);
});

test('the gradient of the stem’s batch normalisation is made as its weight’s pass loads it', () => {
  const articles = trainingGraph(resnet18({ stem: 'conv3x3' }), { ...options, imageSize: 64 });
  const { steps, paths } = compilePlan(articles, kernelCapabilities);
  const makers = paths.filter((_, i) => {
    const step = steps[i]!;
    return step.kind === 'conv2dBackwardWeight' && step.normX !== null;
  });
  assert.deepEqual(makers, ['conv1']);
  const others = steps.filter(({ kind }) => kind === 'batchNormBackwardInput');
  assert.equal(others.length, 19);
});

async function expectSameFused(network: Module, imageSize: number): Promise<void> {
  const graph = trainingGraph(network, optionsOf(imageSize));
  const data = new Map<string, TensorData>([
    ...Object.entries(noiseBatch(0, N, imageSize)),
    ['hyper', Float32Array.of(0.1, 1, 1)],
    ['randomness', dropoutWords(1, 2)],
  ]);
  const weights = new Map(initialValues(network, 3));
  for (const [name, { shape }] of graph.state) {
    data.set(name, weights.get(name) ?? new Float32Array(elementCount(shape)));
  }
  const reference = openReference();
  const fused = {
    ...reference,
    capabilities: {
      convAlgorithms: ['direct'],
      fusions: {
        convPrologue: ['direct'],
        convStatistics: ['direct'],
        convGradientSum: ['direct'],
        convNormGradient: ['direct'],
        convNormalization: ['direct'],
        convGradients: ['direct'],
        convInference: true,
      },
      // Fewer than an image has: each is a part.
      partNumbers: 1,
    },
  } as const;
  const stepCase = { title: '', graph, data, reduction: 0 };
  const expected = await runCase(reference, stepCase);
  const found = await runCase(fused, stepCase);
  assert.ok(
    compilePlan(graph, fused.capabilities).steps.length <
      compilePlan(graph, reference.capabilities).steps.length,
  );
  // Both sum in float64; they round at different places, some twenty layers deep.
  for (const [name, values] of expected) {
    const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 2 ** -6);
    values.forEach((value, i) => {
      const difference = Math.abs(found.get(name)![i]! - value);
      assert.ok(difference <= 2 ** -24 * 64 * largest, `${name}[${i}] differs by ${difference}`);
    });
  }
}

test('large maps: both gradients of a convolution share that of the norm behind it, part by part', () => {
  const large = trainingGraph(resnet18({ stem: 'conv3x3' }), {
    ...options,
    imageSize: 224,
    batchSize: 8,
  });
  const plan = compilePlan(large, kernelCapabilities);
  const stepsOf = (path: string) =>
    plan.steps.filter(({ kind }, i) => plan.paths[i] === path && kind !== 'conv2d');

  const parts = stepsOf('layer1.1.conv2');
  assert.equal(parts.length, 3 * 8);
  parts.forEach((step, i) => {
    const norm = parts[i - (i % 3)]!;
    assert.ok(norm.kind === 'batchNormBackwardInput' && norm.cached);
    assert.deepEqual(norm.dx.shape, [1, 224, 224, 64]);
    if (step === norm) return;
    assert.ok(step.kind === (i % 3 === 1 ? 'conv2dBackwardInput' : 'conv2dBackwardWeight'));
    assert.deepEqual(step.dy, norm.dx);
    assert.equal(step.kind === 'conv2dBackwardInput' ? step.weightPacked : step.accumulate, i > 2);
  });

  const inParts = plan.paths.filter((_, i) => {
    const step = plan.steps[i]!;
    return step.kind === 'conv2dBackwardInput' && step.weightPacked;
  });
  const layer1 = ['layer1.1.conv2', 'layer1.1.conv1', 'layer1.0.conv2', 'layer1.0.conv1'];
  assert.deepEqual([...new Set(inParts)], layer1);

  const whole = compilePlan(large, { ...kernelCapabilities, partNumbers: Infinity });
  assert.equal(whole.flops, plan.flops);
  assert.equal(
    plan.stepFlops.reduce((a, b) => a + b),
    plan.flops,
  );
});

test('each case of parts has them', () => {
  for (const { graph, capabilities, title } of partCases()) {
    const { steps } = compilePlan(graph, { ...kernelCapabilities, ...capabilities });
    assert.ok(
      steps.some((step) => step.kind === 'conv2dBackwardWeight' && step.accumulate),
      title,
    );
  }
});

test('the engines compute groups on a path of their own, without what Winograd takes along', () => {
  const { steps, paths } = compilePlan(graph, kernelCapabilities);
  const kinds = ['conv2d', 'conv2dBackwardInput', 'conv2dBackwardWeight'] as const;
  for (const kind of kinds) {
    const step = steps.find((each, i) => each.kind === kind && paths[i] === '3.conv2');
    assert.ok(step && 'algorithm' in step);
    assert.deepEqual([step.algorithm, step.groups], ['grouped', 4]);
    assert.ok(!('scale' in step) || step.scale === null);
    assert.ok(!('statistics' in step) || step.statistics === null);
  }
  const others = steps.filter((step) => 'algorithm' in step && step.groups === 1);
  assert.ok(others.every((step) => 'algorithm' in step && step.algorithm !== 'grouped'));
});
