/** Frozen parts, a head with a rate of its own, frozen statistics: what changes and what it costs. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import { kernelCapabilities } from '../../src/backend/program.js';
import { batchNorm2d, conv2d, linear, sequential } from '../../src/nn/layers.js';
import { flatten, globalAvgPool2d, relu } from '../../src/nn/functional.js';
import { Module } from '../../src/nn/module.js';
import type { Tensor } from '../../src/nn/tensor.js';
import { BasicBlock } from '../../src/models/blocks.js';
import { resnet18 } from '../../src/models/resnet.js';
import {
  fineTuningOptions,
  frozenKeys,
  headPath,
  type FineTuning,
} from '../../src/train/fine-tuning.js';
import { adamW, sgd, type Optimizer } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import type { StateDict } from '../../src/train/state-dict.js';
import { allEngines } from '../parity/backends.js';
import { noiseBatch, smallResNet, smallSessionOptions } from './small-resnet.js';

class Small extends Module {
  readonly conv1 = conv2d(3, 8, { kernelSize: 3, padding: 1, bias: false });
  readonly bn1 = batchNorm2d(8);
  readonly layer1 = sequential(new BasicBlock(8, 8));
  readonly layer2 = sequential(new BasicBlock(8, 17, 2));
  readonly fc = linear(17, 3);

  override forward(x: Tensor): Tensor {
    const y = this.layer2(this.layer1(relu(this.bn1(this.conv1(x)))));
    return this.fc(flatten(globalAvgPool2d(y)));
  }
}

const size = 16;
const whole: FineTuning = { freeze: 'none', freezeStatistics: false, headLr: null, lr: 0.1 };
const engines = await allEngines(2);
const reference = engines[0]!.backend!;
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
});

const decaying = sgd({ lr: 0.1, weightDecay: 0.1 });

function options(tuning: Partial<FineTuning>, optimizer: Optimizer = decaying) {
  const common = { ...smallSessionOptions(4, size), optimizer, keepGradients: true };
  return { ...common, ...fineTuningOptions(new Small(), { ...whole, ...tuning }) };
}

const session = (tuning: Partial<FineTuning>, optimizer: Optimizer = decaying) =>
  Session.create(new Small(), reference, options(tuning, optimizer));

/** Keys whose values differ. */
function changed(before: StateDict, after: StateDict): string[] {
  return [...before.keys()].filter((key) => {
    return !before.get(key)!.data.every((value, i) => value === after.get(key)!.data[i]);
  });
}

const keysOf = (...parts: string[]) =>
  [...new Small().namedParameters().keys()].filter((key) => parts.includes(key.split('.')[0]!));

test('what is frozen stays as it is to the bit, running statistics included', async () => {
  const frozen = { stem: ['conv1', 'bn1'], layer1: ['conv1', 'bn1', 'layer1'], backbone: null };
  for (const [freeze, parts] of Object.entries(frozen)) {
    const made = await session({ freeze: freeze as FineTuning['freeze'] }, adamW({ lr: 0.01 }));
    const before = await made.exportState();
    await made.step(noiseBatch(0, 4, size));
    const after = await made.exportState();
    const moving = [...new Small().namedParameters().keys()].filter((key) => {
      return parts ? !keysOf(...parts).includes(key) : key.startsWith('fc.');
    });
    const trained = moving.filter((key) => !key.includes('running_'));
    const moments = trained.flatMap((key) => [`optimizer.m.${key}`, `optimizer.v.${key}`]);
    assert.deepEqual(changed(before, after).sort(), [...moving, ...moments].sort());
    assert.deepEqual([...(await made.gradients()).keys()].sort(), trained.sort());
    assert.deepEqual(
      [...before.keys()].filter((key) => key.startsWith('optimizer.')).sort(),
      moments.sort(),
    );
  }
});

test('for a frozen part no gradient is computed: the plan has its forward pass alone', async () => {
  const plan = async (freeze: FineTuning['freeze']) => {
    const made = await session({ freeze });
    const { steps, paths, flops } = await made.trainingPlan();
    return {
      flops,
      backward: steps.flatMap(({ kind }, i) => (kind.includes('Backward') ? [paths[i]!] : [])),
    };
  };
  const [none, layer1, backbone] = [
    await plan('none'),
    await plan('layer1'),
    await plan('backbone'),
  ];
  assert.ok(none.backward.some((path) => path.startsWith('layer1')));
  assert.ok(layer1.backward.every((path) => !/^(conv1|bn1|layer1)/.test(path)));
  assert.deepEqual(backbone.backward, ['']); // the loss
  // Three passes of equal cost for all but the first layer, which needs no dx, or one.
  assert.ok(layer1.flops < none.flops && backbone.flops < 0.4 * none.flops);
});

test('a frozen part costs neither gradients nor moments: ResNet-18 says so beforehand', () => {
  const forecast = (freeze: FineTuning['freeze']) =>
    Session.forecast(resnet18({ classes: 2 }), reference, {
      ...smallSessionOptions(8, 64),
      optimizer: sgd({ lr: 0.1, momentum: 0.9 }),
      ...fineTuningOptions(resnet18({ classes: 2 }), { ...whole, freeze }),
    });
  const [none, backbone] = [forecast('none'), forecast('backbone')];
  assert.deepEqual([none.trainedParameters, none.parameters], [11_177_538, 11_177_538]);
  assert.deepEqual([backbone.trainedParameters, backbone.parameters], [1026, 11_177_538]);
  assert.ok(backbone.flopsPerStep < 0.36 * none.flopsPerStep);
  assert.ok(backbone.arenaBytes < 0.6 * none.arenaBytes);
});

test('frozen statistics cost no memory: masks are computed again and maps fused all the same', () => {
  const fused = { ...reference, capabilities: kernelCapabilities };
  const peak = (freezeStatistics: boolean) =>
    Session.forecast(new Small(), fused, {
      ...options({ freezeStatistics }),
      ...{ batchSize: 8, imageSize: 64, keepGradients: false },
    }).arenaBytes;
  assert.ok(peak(true) <= peak(false));
});

test('the head learns at its own rate, the rest at the other', async () => {
  const optimizer = sgd({ lr: 0.1 });
  const [same, faster] = [await session({}, optimizer), await session({ headLr: 0.3 }, optimizer)];
  const before = await same.exportState();
  for (const made of [same, faster]) await made.step(noiseBatch(0, 4, size), { lr: 0.05 });
  const [alike, after] = [await same.exportState(), await faster.exportState()];
  assert.deepEqual(changed(alike, after).sort(), ['fc.bias', 'fc.weight']);
  const gradients = await faster.gradients();
  for (const key of ['fc.bias', 'fc.weight']) {
    const rate = Math.fround((0.05 * 0.3) / 0.1);
    const expected = before.get(key)!.data.map((value, i) => {
      return Math.fround(value - rate * gradients.get(key)!.data[i]!);
    });
    assert.deepEqual(after.get(key)!.data, expected, key);
  }
});

/** Every gradient of a step against that of another engine: float32 with other orders of sums. */
async function gradientsOn(backend: Backend): Promise<StateDict> {
  const made = await Session.create(new Small(), backend, options({ freezeStatistics: true }));
  await made.step(noiseBatch(0, 4, size));
  const gradients = await made.gradients();
  await made.dispose();
  return gradients;
}

test('frozen statistics stay, weights learn, and a step’s logits are those of evaluation', async () => {
  const made = await session({ freezeStatistics: true });
  const batch = noiseBatch(0, 4, size);
  const before = await made.exportState();
  const evaluated = await made.logits(batch.images);
  const { logits } = await made.step(batch);
  assert.deepEqual(logits, evaluated);
  const after = await made.exportState();
  assert.deepEqual(
    changed(before, after).sort(),
    [...before.keys()].filter((key) => !key.includes('running_')).sort(),
  );
});

for (const { title, backend, skip } of engines.slice(1)) {
  test(`frozen statistics: the reference’s gradients on ${title}`, { skip }, async () => {
    const [expected, found] = [await gradientsOn(reference), await gradientsOn(backend!)];
    for (const [key, { data }] of expected) {
      const magnitude = data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      data.forEach((value, i) => {
        const error = Math.abs(found.get(key)!.data[i]! - value);
        // Sums over 4·16·16 pixels.
        assert.ok(error <= 4 * size * size * 2 ** -24 * magnitude, `${key}[${i}]: ${error}`);
      });
    }
  });
}

test('the head is the last linear layer; a part that a model lacks is named with those it has', () => {
  assert.equal(headPath(new Small()), 'fc');
  assert.equal(headPath(smallResNet()), '8');
  assert.equal(frozenKeys(smallResNet(), 'backbone').size > 0, true);
  assert.throws(() => frozenKeys(smallResNet(), 'layer1'), {
    code: 'option',
    message: /has no layer1, its parts are 0, 1, 4, 5, 8; use --freeze backbone, or none/,
  });
  assert.throws(() => frozenKeys(new Small(), 'layer3'), { message: /no layer3, its parts are/ });
  assert.throws(() => headPath(sequential(conv2d(3, 4, { kernelSize: 1 }))), { code: 'no-head' });
});
