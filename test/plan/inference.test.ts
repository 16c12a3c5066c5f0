/** What is folded into evaluation's convolutions, pass by pass, and what a plan prepares. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { kernelCapabilities } from '../../src/backend/program.js';
import { openReference } from '../../src/backend/reference/index.js';
import { imagenet } from '../../src/data/transforms.js';
import type { Graph } from '../../src/graph/graph.js';
import { resnet18 } from '../../src/models/resnet.js';
import { compilePlan } from '../../src/plan/compile.js';
import { splitBatchNorm } from '../../src/plan/fuse/batch-norm.js';
import { foldAffineMaps, joinInferenceRelu, joinResiduals } from '../../src/plan/fuse/inference.js';
import { printPlan } from '../../src/plan/print.js';
import { initialValues } from '../../src/train/initialize.js';
import { evaluationGraph, trainingGraph } from '../../src/train/training-graph.js';
import { sgd } from '../../src/train/optimizers.js';
import { assertClose } from '../backend/run-case.js';
import { smallResNet } from '../train/small-resnet.js';

const direct = {
  convAlgorithms: ['direct'],
  fusions: {
    convPrologue: [],
    convStatistics: [],
    convGradientSum: [],
    convNormGradient: [],
    convNormalization: [],
    convGradients: [],
    convInference: true,
  },
} as const;
const options = { batchSize: 2, imageSize: 17, normalization: imagenet };
const evaluation = evaluationGraph(smallResNet(), options);

const count = (graph: Graph, op: string) => graph.nodes.filter((node) => node.op === op).length;

test('an affine map goes into the weight and the store of the convolution before it', () => {
  const split = splitBatchNorm(evaluation);
  const folded = foldAffineMaps(split, direct);
  assert.ok(count(split, 'scaleShift') > 0);
  assert.equal(count(folded, 'scaleShift'), 0);
  assert.equal(count(folded, 'conv2d'), 0);
  assert.equal(count(folded, 'conv2dInference'), count(split, 'conv2d'));
  assert.equal(count(folded, 'packWeight'), count(split, 'conv2d'));
});

test('the skip connection and relu go into the store', () => {
  const folded = foldAffineMaps(splitBatchNorm(evaluation), direct);
  const summed = joinResiduals(folded);
  assert.ok(count(folded, 'add') > 0);
  assert.equal(count(summed, 'add'), 0);
  assert.equal(count(summed, 'relu'), count(folded, 'relu'));
  assert.equal(count(joinInferenceRelu(summed), 'relu'), 0);
});

test('in training nothing is folded and nothing prepared', () => {
  const graph = trainingGraph(smallResNet(), { ...options, optimizer: sgd({ lr: 0.1 }) });
  const plan = compilePlan(graph, kernelCapabilities);
  assert.equal(plan.prepareSteps, 0);
  assert.ok(plan.steps.every(({ kind }) => !['packWeight', 'conv2dInference'].includes(kind)));
});

test('a residual block is two steps, and its weights are prepared', () => {
  const graph = evaluationGraph(resnet18({ classes: 2 }), { ...options, imageSize: 64 });
  const plan = compilePlan(graph, kernelCapabilities);
  const block = plan.steps.filter(
    (_, i) => i >= plan.prepareSteps && plan.paths[i]!.startsWith('layer1.0'),
  );
  assert.deepEqual(
    block.map((step) => step.kind === 'conv2dInference' && [step.relu, step.residual !== null]),
    [
      [true, false],
      [true, true],
    ],
  );
  const kinds = new Set(plan.steps.slice(0, plan.prepareSteps).map(({ kind }) => kind));
  assert.deepEqual([...kinds].sort(), ['batchNormFold', 'packWeight']);
  assert.equal(plan.prepareSteps, 2 * 20);
});

test('the printed plan shows what is prepared and what was folded', () => {
  const lines = printPlan(compilePlan(evaluation, kernelCapabilities)).split('\n');
  assert.match(lines[0]!, /, \d+ steps, \d+ of them once$/);
  assert.ok(lines.some((line) => /^\d+ prepare packWeight weight=f32/.test(line)));
  const block = lines.find((line) => /conv2dInference .*residual=f32\[.*relu=true/.test(line));
  assert.ok(block, lines.join('\n'));
});

test('folded or not, the reference computes the same, also when it prepares nothing anew', async () => {
  const backend = openReference();
  const images = Uint8Array.from({ length: 2 * 17 * 17 * 3 }, (_, i) => (i * 37) % 251);
  const weights = new Map(initialValues(smallResNet(), 3));
  const logits = async (graph: Graph, folded: boolean) => {
    const plan = compilePlan(graph, folded ? direct : backend.capabilities);
    assert.equal(plan.prepareSteps > 0, true);
    const executable = await backend.compile(plan);
    for (const [key, slot] of Object.entries(plan.state.slots)) {
      await executable.write(slot, weights.get(key)!);
    }
    const results: Float32Array[] = [];
    for (let run = 0; run < 2; run++) {
      await executable.run({ images });
      results.push((await executable.read(plan.outputs.logits!)) as Float32Array);
    }
    assert.deepEqual(results[1], results[0]);
    return new Map([['logits', results[0]!]]);
  };
  // Each of the network's ten layers rounds a few more times: at most as many as it has channels.
  assertClose(await logits(evaluation, true), await logits(evaluation, false), {
    reduction: 10 * 32,
  });
});
