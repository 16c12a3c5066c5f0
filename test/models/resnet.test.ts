import assert from 'node:assert/strict';
import test from 'node:test';
import { resnet18 } from '../../src/models/resnet.js';
import { compilePlan } from '../../src/plan/compile.js';
import { sgd } from '../../src/train/optimizers.js';
import { evaluationGraph, trainingGraph } from '../../src/train/training-graph.js';
import { verify } from '../../src/graph/verify.js';
import { ruleOf } from '../../src/ops/table.js';

const options = {
  batchSize: 8,
  imageSize: 64,
  normalization: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  optimizer: sgd({ lr: 0.01 }),
};

test('the article’s network with two classes has 11,169,858 parameters', () => {
  assert.equal(resnet18({ stem: 'conv3x3', classes: 2 }).parameterCount(), 11_169_858);
});

for (const stem of ['conv3x3', 'conv7x7'] as const) {
  test(`the training graph with the ${stem} stem is legal`, () => {
    const graph = trainingGraph(resnet18({ stem, classes: 2 }), options);
    assert.deepEqual(
      verify(graph, (node) => ruleOf(node.op).infer(node.inputs, node.attributes as never)),
      [],
    );
  });
}

test('a training step of the article’s network at 224 px, batch 8, takes 1.305 TFLOP', () => {
  const graph = trainingGraph(resnet18({ stem: 'conv3x3', classes: 2 }), {
    ...options,
    imageSize: 224,
  });
  const plan = compilePlan(graph, { convAlgorithms: ['direct'] });
  assert.ok(Math.abs(plan.flops / 1.305e12 - 1) < 0.01, `${plan.flops}`);
});

test('evaluation shares the training state’s layout and needs a fraction of its memory', () => {
  const model = resnet18({ stem: 'conv3x3', classes: 2 });
  const training = compilePlan(trainingGraph(model, options), { convAlgorithms: ['direct'] });
  const evaluation = compilePlan(
    evaluationGraph(model, options),
    { convAlgorithms: ['direct'] },
    training.state,
  );
  assert.deepEqual(evaluation.state, training.state);
  assert.ok(evaluation.arenaBytes < training.arenaBytes / 2);
});
