/** Every family learns, dropout included, and a run remembers what was chosen of its network. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import { openBackend } from '../../src/backend/devices.js';
import { alexnet } from '../../src/models/alexnet.js';
import type { Backbone } from '../../src/models/backbone.js';
import { BasicBlock, Bottleneck } from '../../src/models/blocks.js';
import { createModel } from '../../src/models/registry.js';
import { ResNet } from '../../src/models/resnet.js';
import { vgg11, vgg11bn } from '../../src/models/vgg.js';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { evaluate } from '../../src/train/evaluate.js';
import { adamW, sgd, type Optimizer } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import { train } from '../../src/train/trainer.js';
import { formulaBatch } from '../parity/formula.js';
import { drawImages } from './drawn-images.js';

let folder = '';
let backend: Backend;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'plusx-families-'));
  await drawImages(path.join(folder, 'photos'), { train: [6, 6], val: [2, 2] });
  backend = await openBackend({ threads: 1 });
});
after(async () => {
  await backend.dispose();
  await rm(folder, { recursive: true, force: true });
});

const classes = 2;
const blocks = [1, 1, 1, 1] as const;

interface Family {
  readonly create: () => Backbone;
  readonly imageSize: number;
  readonly optimizer: Optimizer;
}

const small = { imageSize: 16, optimizer: sgd({ lr: 0.05, momentum: 0.9 }) };
const wide = { imageSize: 32, optimizer: sgd({ lr: 0.01, momentum: 0.9 }) };
// From torchvision's initial values, networks without batch-norm hardly move by plain steps.
const adaptive = { imageSize: 32, optimizer: adamW({ lr: 0.001 }) };

/** One block a stage, and narrow classifiers: the families' arithmetic in little time. */
const families: Readonly<Record<string, Family>> = {
  'resnet20 with shortcut A': { create: () => createModel('resnet20', { classes }), ...small },
  'resnet20 with shortcut B, started as the identity': {
    create: () => createModel('resnet20', { classes, shortcut: 'B', zeroInitResidual: true }),
    ...small,
  },
  plain20: { create: () => createModel('plain20', { classes }), ...small },
  'bottlenecks in groups': {
    create: () => new ResNet(Bottleneck, blocks, { classes }, { groups: 32, widthPerGroup: 4 }),
    ...wide,
  },
  'basic blocks of variant d with squeeze-and-excitation': {
    create: () =>
      new ResNet(BasicBlock, blocks, { classes, variant: 'd', squeezeExcitation: true }),
    ...wide,
  },
  'alexnet with dropout': {
    create: () => alexnet({ classes, hiddenFeatures: 64 }),
    ...adaptive,
    imageSize: 64,
  },
  'vgg11 with dropout': { create: () => vgg11({ classes, hiddenFeatures: 64 }), ...adaptive },
  'vgg11 with batch-norm': { create: () => vgg11bn({ classes, hiddenFeatures: 64 }), ...adaptive },
};

for (const [title, { create, imageSize, optimizer }] of Object.entries(families)) {
  test(`${title} learns a batch`, async () => {
    const normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
    const options = { batchSize: 4, imageSize, normalization, optimizer, seed: 0 };
    const session = await Session.create(create(), backend, options);
    const batch = formulaBatch(0, 4, imageSize, classes);
    const losses: number[] = [];
    for (let step = 0; step < 12; step++) losses.push((await session.step(batch)).loss);
    await session.dispose();
    assert.ok(losses.every(Number.isFinite) && losses.at(-1)! < 0.8 * losses[0]!, losses.join(' '));
  });
}

test('a run keeps its network’s options for evaluation and for going on', async () => {
  const chosen = { model: 'resnet20', shortcut: 'B', zeroInitResidual: true } as const;
  const out = path.join(folder, 'run');
  const photos = path.join(folder, 'photos');
  const options = { folder: photos, imageSize: 16, batchSize: 4, threads: 1, ...chosen };
  const { parameters, last } = await train({ ...options, epochs: 1, out });
  assert.equal(parameters, createModel('resnet20', { ...chosen, classes: 2 }).parameterCount());

  const { model, training } = await loadCheckpoint(last);
  assert.deepEqual(model, { name: 'resnet20', shortcut: 'B', zeroInitResidual: true });
  assert.equal(training?.config.shortcut, 'B');
  assert.equal(training?.config.stem, null);
  assert.equal((await evaluate(last, photos)).images, 4);

  const resumed = await train({ resume: out, epochs: 2 });
  assert.equal(resumed.status, 'finished');
  await assert.rejects(train({ resume: out, shortcut: 'A' }), {
    code: 'resume-option',
    message: /shortcut is "A" now, the run was started with "B"/,
  });
});

test('the networks for CIFAR take images of 32 pixels unless told otherwise', async () => {
  const photos = path.join(folder, 'photos');
  const out = path.join(folder, 'small');
  const { last } = await train({
    folder: photos,
    model: 'plain20',
    epochs: 1,
    batchSize: 4,
    threads: 1,
    out,
  });
  assert.equal((await loadCheckpoint(last)).preprocessing.outputSize, 32);
});
