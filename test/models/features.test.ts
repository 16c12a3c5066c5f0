/** The stages' outputs inside a network of one's own: what is computed, what is trained, and errors. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { openReference } from '../../src/backend/reference/index.js';
import { features, type Backbone } from '../../src/models/backbone.js';
import { resnet20 } from '../../src/models/cifar-resnet.js';
import { createModel } from '../../src/models/registry.js';
import { flatten, globalAvgPool2d } from '../../src/nn/functional.js';
import { linear } from '../../src/nn/layers.js';
import { Module } from '../../src/nn/module.js';
import type { Tensor } from '../../src/nn/tensor.js';
import { Trace } from '../../src/nn/trace.js';
import { compilePlan } from '../../src/plan/compile.js';
import { sgd } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import { trainingGraph } from '../../src/train/training-graph.js';

/** Classifies by what the third stage of a backbone found. */
class Shallow extends Module {
  readonly fc;

  constructor(readonly backbone: Backbone) {
    super();
    this.fc = linear(backbone.stages.C3!.channels, 2);
  }

  override forward(x: Tensor): Tensor {
    const { C3 } = features(this.backbone, x, ['C3']);
    return this.fc(flatten(globalAvgPool2d(C3.tensor)));
  }
}

const normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
const options = { batchSize: 2, imageSize: 8, normalization, optimizer: sgd({ lr: 0.1 }), seed: 1 };

test('nothing behind the last wanted stage is computed, and each node has its path', () => {
  const graph = trainingGraph(new Shallow(resnet20()), options);
  const plan = compilePlan(graph, { convAlgorithms: ['direct'] });
  const paths = new Set(plan.paths);
  assert.ok(paths.has('backbone.layer2.2.conv2'));
  const behind = [...paths].filter((path) => /^backbone\.(layer3|fc)/.test(path));
  assert.deepEqual(behind, []);
});

test('training leaves the parameters behind it as they are, and changes the others', async () => {
  const backend = openReference();
  const session = await Session.create(new Shallow(resnet20()), backend, options);
  const before = await session.exportState();
  const images = Uint8Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => (i * 37) % 251);
  await session.step({ images, labels: Int32Array.of(0, 1) });
  const after = await session.exportState();
  for (const [key, { data }] of after) {
    const behind = /^backbone\.(layer3|fc)/.test(key);
    const same = data.every((value, i) => value === before.get(key)!.data[i]);
    assert.equal(same, behind, key);
  }
  await session.dispose();
});

const stagesOf = {
  resnet50: { C1: [2, 64], C2: [4, 256], C3: [8, 512], C4: [16, 1024], C5: [32, 2048] },
  resnet20: { C1: [1, 16], C2: [1, 16], C3: [2, 32], C4: [4, 64] },
  plain34: { C1: [2, 64], C2: [4, 64], C3: [8, 128], C4: [16, 256], C5: [32, 512] },
  alexnet: { C1: [4, 64], C2: [8, 192], C5: [16, 256] },
  vgg16_bn: { C1: [1, 64], C2: [2, 128], C3: [4, 256], C4: [8, 512], C5: [16, 512] },
};

for (const [name, expected] of Object.entries(stagesOf)) {
  test(`${name} has the stages ${Object.keys(expected).join(', ')}`, () => {
    const stages = Object.entries(createModel(name).stages).map(([stage, { stride, channels }]) => [
      stage,
      [stride, channels],
    ]);
    assert.deepEqual(Object.fromEntries(stages), expected);
  });
}

test('VGG’s stages end before the pooling, with the relu', () => {
  const model = createModel('vgg11');
  const trace = new Trace(model, { training: false });
  const x = trace.input('images', { shape: [1, 32, 32, 3], dtype: 'f32' });
  const { C2 } = features(model, x, ['C2']);
  const node = trace.builder.nodes.find(({ outputs }) => outputs[0] === C2.tensor.value);
  assert.equal(node?.op, 'relu');
  assert.deepEqual(C2.tensor.shape, [1, 16, 16, 128]);
});

test('a stage that a network does not have is refused with those that it has', () => {
  const model = createModel('resnet20');
  const trace = new Trace(model, { training: false });
  const x = trace.input('images', { shape: [1, 32, 32, 3], dtype: 'f32' });
  assert.throws(() => features(model, x, ['C4', 'C5']), {
    code: 'unknown-stage',
    message: 'features: the network has no stage C5; it has C1, C2, C3, C4',
  });
});
