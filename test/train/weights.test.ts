/** Runs that begin with weights from elsewhere: what is taken, what is drawn anew, what is refused. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { createModel } from '../../src/models/registry.js';
import { imagenet } from '../../src/data/transforms.js';
import { openReference } from '../../src/backend/reference/index.js';
import { loadCheckpoint, saveWeights } from '../../src/train/checkpoint.js';
import { sgd } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import type { StateDict } from '../../src/train/state-dict.js';
import { train, type TrainOptions } from '../../src/train/trainer.js';
import { runCli } from '../cli/run-cli.js';
import { drawImages } from './drawn-images.js';
import { commit, startHub } from './hub-server.js';

let folder: string;
let photos: string;
let weights: string;
let pretrained: StateDict;
const place = (name: string) => path.join(folder, name);

const quick = (out: string, options: TrainOptions = {}): TrainOptions => ({
  folder: photos,
  model: 'resnet20',
  imageSize: 8,
  batchSize: 4,
  epochs: 1,
  out: place(out),
  ...options,
});

/** What a ResNet-20 for ten classes begins with when drawn from seed 5. */
async function drawnState(): Promise<StateDict> {
  const backend = openReference();
  const session = await Session.create(createModel('resnet20', { classes: 10 }), backend, {
    ...{ batchSize: 1, imageSize: 8, normalization: imagenet, seed: 5 },
    optimizer: sgd({ lr: 0 }),
  });
  return session.exportState();
}

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'plusx-weights-'));
  photos = place('photos');
  weights = place('resnet20.safetensors');
  await drawImages(photos, { train: [5, 4], val: [2, 1] });
  pretrained = await drawnState();
  await saveWeights(weights, pretrained);
});

after(() => rm(folder, { recursive: true, force: true }));

const lastOf = async (name: string) => loadCheckpoint(path.join(place(name), 'last.safetensors'));

test('a frozen backbone is the file’s to the bit behind a new head, and the run says so', async () => {
  const messages: string[] = [];
  const options = quick('backbone', { weights, freeze: 'backbone', headLr: 0.1 });
  await train(options, { warning: ({ message }) => messages.push(message) });
  assert.ok(messages.includes('head fc: 10 → 2 classes, drawn anew'), messages.join('\n'));
  const { state, training } = await lastOf('backbone');
  for (const [key, { data, shape }] of pretrained) {
    if (key.startsWith('fc.')) assert.deepEqual([shape[0], state.get(key)!.shape[0]], [10, 2]);
    else assert.deepEqual(state.get(key)!.data, data, key);
  }
  assert.equal(training!.config.weights, weights);
  const stored = await readFile(path.join(place('backbone'), 'config.json'), 'utf8');
  assert.equal((JSON.parse(stored) as { weights: string }).weights, weights);
});

test('a checkpoint is a beginning too: its head is kept where the classes are as many', async () => {
  const messages: string[] = [];
  const checkpoint = path.join(place('backbone'), 'last.safetensors');
  const options = quick('again', { weights: checkpoint, freeze: 'backbone', lr: 1e-30 });
  await train(options, { warning: ({ message }) => messages.push(message) });
  assert.deepEqual(messages, []);
  const [first, second] = [await lastOf('backbone'), await lastOf('again')];
  assert.deepEqual(second.state.get('fc.weight'), first.state.get('fc.weight'));
});

test('fine-tuning in micro-batches, interrupted and resumed, ends with the same file', async () => {
  const options: TrainOptions = {
    // Statistics of 0 and 1 normalise nothing: the rates are small.
    ...{ weights, freeze: 'layer1', freezeStatistics: true, accumulate: 2 },
    ...{ lr: 1e-4, headLr: 5e-4 },
    ...{ epochs: 2, momentum: 0.9, schedule: 'cosine' },
  };
  await train(quick('whole', options));
  const stop = new AbortController();
  await train(quick('stopped', { ...options, signal: stop.signal }), {
    step: ({ globalStep }) => globalStep === 4 && stop.abort(),
  });
  await train({ resume: place('stopped') });
  const files = ['whole', 'stopped'].map((name) => path.join(place(name), 'last.safetensors'));
  const [whole, stopped] = await Promise.all(files.map((file) => readFile(file)));
  assert.ok(whole!.equals(stopped!));
  const { state } = await lastOf('whole');
  const unchanged = [...pretrained].filter(([key, { data }]) => {
    return state.get(key)!.data.every((value, i) => value === data[i]);
  });
  const expected = [...pretrained.keys()].filter((key) => {
    return /^(conv1|bn1|layer1)\.|running_/.test(key);
  });
  assert.deepEqual(
    unchanged.map(([key]) => key),
    expected,
  );
});

test('weights of another network, weights for a run that goes on, and no file are refused', async () => {
  await assert.rejects(train(quick('other', { weights, model: 'resnet32' })), {
    code: 'weights-mismatch',
    message:
      /resnet20\.safetensors does not fit resnet32[^]* are missing: "layer1\.3\.conv1\.weight"/,
  });
  await assert.rejects(train({ resume: place('whole'), weights }), {
    code: 'option',
    message:
      /a run that goes on has weights of its own, got .*resnet20\.safetensors; leave them out/,
  });
  await assert.rejects(train(quick('none', { weights: place('none.safetensors') })), {
    message: /none\.safetensors/,
  });
  await assert.rejects(train({ resume: place('whole'), freeze: 'none' }), {
    code: 'resume-option',
    message: /freeze is "none" now, the run was started with "layer1"/,
  });
  await assert.rejects(train(quick('part', { weights, freeze: 'layer9' as 'layer1' })), {
    message: /freeze must be one of none, stem, .*got "layer9"; did you mean "layer1"\?/,
  });
});

test('weights from the hub begin a run, whose configuration names their commit', async () => {
  const hub = await startHub({ 'model.safetensors': await readFile(weights) });
  const options = '--model resnet20 --image-size 8 --batch-size 4 --epochs 1 --device wasm'.split(
    ' ',
  );
  const start = ['--weights', 'hf:owner/net', '--freeze', 'backbone', '--out', place('hub')];
  const { code, stderr } = await runCli(['train', photos, ...options, ...start], {
    env: { HF_ENDPOINT: hub.endpoint, PLUSX_CACHE: place('cache') },
  });
  await hub.close();
  assert.equal(code, 0, stderr);
  assert.match(stderr, /head fc: 10 → 2 classes, drawn anew/);
  assert.match(stderr, /parameters, 130 of them trained/);
  const { state, training } = await lastOf('hub');
  assert.equal(training!.config.weights, `hf:owner/net@${commit}/model.safetensors`);
  assert.deepEqual(state.get('conv1.weight'), pretrained.get('conv1.weight'));
});
