import assert from 'node:assert/strict';
import test from 'node:test';
import { imagenet } from '../../src/data/transforms.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { resnet18 } from '../../src/models/resnet.js';
import { emitInto } from '../../src/ops/emit.js';
import { compilePlan, flopsOf } from '../../src/plan/compile.js';
import { mainTensor, stepBytes, tensorsOf } from '../../src/plan/cost.js';
import { adamW } from '../../src/train/optimizers.js';
import { trainingGraph } from '../../src/train/training-graph.js';

const gemm = { convAlgorithms: ['gemm'] } as const;

const graph = trainingGraph(resnet18({ classes: 2 }), {
  batchSize: 2,
  imageSize: 32,
  normalization: imagenet,
  optimizer: adamW({ lr: 0.001 }),
});
const plan = compilePlan(graph, gemm);

test('the flops of the steps sum to those of the plan, and to those of the graph', () => {
  assert.equal(plan.stepFlops.length, plan.steps.length);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  assert.equal(sum(plan.stepFlops), plan.flops);
  assert.equal(sum(graph.nodes.map(flopsOf)), plan.flops);
});

test("a convolution's flops are two for each multiply-add of its definition", () => {
  const [stem] = plan.steps.flatMap((step, i) =>
    step.kind === 'conv2d' ? [plan.stepFlops[i]] : [],
  );
  assert.equal(stem, 2 * (2 * 16 * 16 * 64) * (7 * 7 * 3));
});

test("a step's bytes are each of its tensors once, without scratch", () => {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => '');
  const x = builder.input('x', { shape: [2, 5, 7, 3], dtype: 'f32' });
  const weight = builder.input('weight', { shape: [11, 3, 3, 3], dtype: 'f32' });
  const labels = builder.input('labels', { shape: [2], dtype: 'i32' });
  const bytes = builder.input('bytes', { shape: [2, 5, 7, 3], dtype: 'u8' });
  const logits = builder.input('logits', { shape: [2, 4], dtype: 'f32' });
  builder.output('y', emit('conv2d', [x, weight], { stride: 1, padding: 1 })[0]!);
  builder.output('loss', emit('softmaxCrossEntropy', [logits, labels], {})[0]!);
  const attributes = { mean: [0, 0, 0], std: [1, 1, 1] };
  builder.output('image', emit('normalizeImage', [bytes], attributes)[0]!);
  const { steps } = compilePlan(builder.build(), gemm);

  const [image, filter] = [2 * 5 * 7 * 3, 11 * 9 * 3];
  const found = Object.fromEntries(steps.map((step) => [step.kind, stepBytes(step)]));
  assert.deepEqual(found, {
    conv2d: 4 * (image + filter + 2 * 5 * 7 * 11),
    softmaxCrossEntropy: 4 * (2 * 4 + 2 + 1),
    normalizeImage: image + 4 * image,
  });
  const convolution = steps.find(({ kind }) => kind === 'conv2d')!;
  assert.deepEqual(Object.keys(tensorsOf(convolution)), ['x', 'weight', 'y']);
  assert.ok('workspace' in convolution && convolution.workspace);
});

test('a step is named by the tensor that it computes', () => {
  const field = (kind: string) => {
    const step = plan.steps.find((each) => each.kind === kind)!;
    return Object.entries(tensorsOf(step)).find(([, slot]) => slot === mainTensor(step))?.[0];
  };
  assert.equal(field('conv2d'), 'y');
  assert.equal(field('conv2dBackwardInput'), 'dx');
  assert.equal(field('conv2dBackwardWeight'), 'dweight');
  assert.equal(field('scaleShift'), 'y');
  assert.equal(field('batchNormBackwardInput'), 'dx');
  assert.equal(field('softmaxCrossEntropy'), 'loss');
  assert.equal(field('softmaxCrossEntropyBackward'), 'dlogits');
  assert.equal(field('sumToChannels'), 'dbias');
  assert.equal(field('adamW'), 'parameter');
});
