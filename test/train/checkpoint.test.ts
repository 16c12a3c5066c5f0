import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { standardPreprocessing } from '../../src/data/transforms.js';
import { writeSafetensors } from '../../src/formats/safetensors-file.js';
import {
  loadCheckpoint,
  loadWeights,
  saveCheckpoint,
  saveWeights,
  type Checkpoint,
} from '../../src/train/checkpoint.js';
import { Classifier } from '../../src/train/classifier.js';
import { configure } from '../../src/train/configure.js';
import { withFolder } from '../formats/temporary-folder.js';

const epoch = {
  epoch: 1,
  globalStep: 4,
  lr: 0.1 + 0.2,
  trainLoss: 1 / 3,
  trainTop1: 0.5,
  valLoss: 0.7,
  valTop1: 2 / 3,
};

const checkpoint: Checkpoint = {
  model: { name: 'resnet18', stem: 'conv3x3' },
  classes: ['cat', 'дог "b"'],
  preprocessing: standardPreprocessing(64, 'ignore'),
  training: {
    config: configure({ folder: 'photos', stem: 'conv3x3', lr: 0.123456789012345 }),
    progress: {
      epoch: 1,
      batch: 2,
      globalStep: 6,
      sums: { lossSum: 1.1 + 2.2, correct: 9, images: 16 },
      epochs: [epoch],
      best: { epoch: 1, top1: 2 / 3 },
    },
    device: { name: 'native', instructionSet: 'avx2' },
    data: { trainImages: 30, valImages: 6, fingerprint: 'abc' },
  },
  state: new Map([
    ['conv1.weight', { shape: [1, 2, 1, 1], data: Float32Array.of(1.5, -0) }],
    ['optimizer.velocity.conv1.weight', { shape: [1, 2, 1, 1], data: Float32Array.of(3, 4) }],
  ]),
};

test('a checkpoint comes back as it was, to the last bit of its sums', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'a.safetensors');
    await saveCheckpoint(file, checkpoint);
    const loaded = await loadCheckpoint(file);
    assert.deepEqual(loaded, checkpoint);
    assert(Object.is(loaded.state.get('conv1.weight')!.data[1], -0));
  });
});

test('weights alone are kept for models of one’s own', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'a.safetensors');
    await saveWeights(file, checkpoint.state, { epoch: '3' });
    assert.deepEqual(await loadWeights(file), checkpoint.state);
    await assert.rejects(loadCheckpoint(file), {
      code: 'checkpoint-foreign',
      message: /a\.safetensors holds 2 tensors, but no model name.*plusx did not write it/,
    });
  });
});

test('metadata that is missing, broken or of a later version is named', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'a.safetensors');
    const tensors = new Map([
      ['fc.bias', { dtype: 'F32', shape: [1], data: Float32Array.of(1) } as const],
    ]);
    const good = {
      'plusx.checkpoint': '1',
      'plusx.model': '{"name":"resnet18","stem":null}',
      'plusx.classes': '["a","b"]',
      'plusx.preprocessing': JSON.stringify(checkpoint.preprocessing),
    };
    const rejects = async (change: Record<string, string>, code: string, message: RegExp) => {
      await writeSafetensors(file, { tensors, metadata: { ...good, ...change } });
      await assert.rejects(loadCheckpoint(file), { code, message });
    };
    await writeSafetensors(file, { tensors, metadata: good });
    assert.equal((await loadCheckpoint(file)).training, null);
    await rejects(
      { 'plusx.checkpoint': '2' },
      'checkpoint-version',
      /version 2, this plusx reads 1/,
    );
    const unusable = 'checkpoint-metadata';
    await rejects({ 'plusx.classes': '[]' }, unusable, /a\.safetensors: .*"plusx\.classes"/);
    await rejects({ 'plusx.classes': '[' }, unusable, /"plusx\.classes".*no JSON/);
    await rejects({ 'plusx.preprocessing': '{}' }, unusable, /"plusx\.preprocessing"/);
    await rejects({ 'plusx.progress': '{}' }, unusable, /"plusx\.config".*missing/);
  });
});

test('weights of another model are refused with the key and both shapes', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'a.safetensors');
    const state = new Map([
      ['conv1.weight', { shape: [64, 3, 7, 7], data: new Float32Array(9408) }],
    ]);
    await saveCheckpoint(file, { ...checkpoint, training: null, state });
    await assert.rejects(Classifier.load(file, { device: 'reference' }), {
      code: 'checkpoint-shape',
      message:
        /a\.safetensors \(resnet18\): conv1\.weight: .* \[64,3,7,7\], the model expects \[64,3,3,3\]/,
    });
  });
});
