/** A checkpoint goes out in each format and comes back with the same weights and predictions. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openBackend } from '../../src/backend/devices.js';
import { standardPreprocessing } from '../../src/data/transforms.js';
import { readSafetensors } from '../../src/formats/safetensors-file.js';
import { createModel } from '../../src/models/registry.js';
import { loadCheckpoint, saveCheckpoint, type Checkpoint } from '../../src/train/checkpoint.js';
import { Classifier } from '../../src/train/classifier.js';
import { configure } from '../../src/train/configure.js';
import { exportCheckpoint, type ExportOptions } from '../../src/train/export-checkpoint.js';
import { importWeights } from '../../src/train/import-weights.js';
import { prepare, type Prepared } from '../formats/onnx/families.js';
import { runOnnxFile } from '../formats/onnx/onnx-runtime.js';
import { readOnnx } from '../formats/onnx/read-onnx.js';

const classes = Array.from({ length: 10 }, (_, i) => `class ${i}`);
const imageSize = 32;
const globalStep = 1234;

let folder = '';
let prepared: Prepared;
let checkpoint: Checkpoint;
const at = (name: string) => path.join(folder, name);

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'plusx-export-'));
  const backend = await openBackend();
  const create = () => createModel('resnet20');
  prepared = await prepare({ name: 'resnet20', imageSize, create }, backend);
  await backend.dispose();
  const moment = { shape: [10], data: new Float32Array(10) };
  checkpoint = {
    model: { name: 'resnet20' },
    classes,
    preprocessing: standardPreprocessing(imageSize),
    training: {
      config: configure({ folder: 'photos', model: 'resnet20' }),
      progress: {
        epoch: 2,
        batch: 0,
        globalStep,
        sums: { lossSum: 0, correct: 0, images: 0 },
        epochs: [],
        best: null,
      },
      device: { name: 'native', instructionSet: 'avx2' },
      data: { trainImages: 30, valImages: 6, fingerprint: 'abc' },
    },
    state: new Map(prepared.state).set('optimizer.velocity.fc.bias', moment),
  };
  await saveCheckpoint(at('best.safetensors'), checkpoint);
});
after(() => rm(folder, { recursive: true, force: true }));

const exported = (options: ExportOptions) => exportCheckpoint(at('best.safetensors'), options);

/** What a checkpoint's network says, bit by bit. */
async function logitsOf(file: string): Promise<Float32Array> {
  const classifier = await Classifier.load(file, { batchSize: 3 });
  try {
    return await classifier.session.logits(prepared.images);
  } finally {
    await classifier.dispose();
  }
}

describe('a checkpoint as safetensors', () => {
  test('is a checkpoint without optimizer and run, and predicts with the same bits', async () => {
    const result = await exported({ format: 'safetensors' });
    assert.equal(result.file, at('best.weights.safetensors'));
    assert.equal(result.onnx, null);
    const loaded = await loadCheckpoint(result.file);
    const expected = { ...checkpoint, training: null, state: prepared.state };
    assert.deepEqual(loaded, expected);
    assert.deepEqual(await logitsOf(result.file), prepared.logits);
  });

  test('counts batches for PyTorch, in the order of its modules', async () => {
    const { tensors } = await readSafetensors(at('best.weights.safetensors'));
    const counter = tensors.get('layer3.2.bn2.num_batches_tracked')!;
    assert.deepEqual(counter, { dtype: 'I64', shape: [], data: BigInt64Array.of(1234n) });
    const norms = [...tensors.keys()].filter((key) => key.endsWith('running_var')).length;
    assert.equal(tensors.size, prepared.state.size + norms);
  });
});

describe('a checkpoint as .pth', () => {
  test('is read back with the same weights and predictions', async () => {
    const { file } = await exported({ format: 'pth' });
    assert.equal(file, at('best.pth'));
    await importWeights(file, at('back.safetensors'), {
      model: 'resnet20',
      classNames: classes,
      imageSize,
    });
    const { state } = await loadCheckpoint(at('back.safetensors'));
    assert.deepEqual(new Map([...state].sort()), new Map([...prepared.state].sort()));
    assert.deepEqual(await logitsOf(at('back.safetensors')), prepared.logits);
  });

  test('has the same bytes again, whatever the file is called', async () => {
    const { file } = await exported({ format: 'pth', out: at('other.pt') });
    assert.deepEqual(await readFile(file), await readFile(at('best.pth')));
  });
});

describe('a checkpoint as ONNX', () => {
  test('carries classes and preprocessing, and predicts the same', async () => {
    const { file, bytes, onnx } = await exported({ format: 'onnx' });
    assert.equal(file, at('best.onnx'));
    const content = await readFile(file);
    assert.equal(content.length, bytes);
    const model = readOnnx([content]);
    assert.equal(onnx!.opset, 26);
    assert.equal(onnx!.nodes, model.nodes.length);
    assert.deepEqual(JSON.parse(model.metadata['plusx.classes']!), classes);
    const stored = JSON.parse(model.metadata['plusx.preprocessing']!) as unknown;
    assert.deepEqual(stored, checkpoint.preprocessing.toJSON());
    assert.ok(!('plusx.config' in model.metadata));

    const logits = await runOnnxFile(file, prepared.images, imageSize, false);
    assert.deepEqual(predictions(logits), predictions(prepared.logits));
  });

  test('takes bytes where it preprocesses itself, and says in words what they are', async () => {
    const { file } = await exported({ format: 'onnx', withPreprocessing: true });
    const logits = await runOnnxFile(file, prepared.images, imageSize, true);
    assert.deepEqual(predictions(logits), predictions(prepared.logits));
    const content = (await readFile(file)).toString('latin1');
    assert.match(content, /resized to 37 pixels \(bilinear with antialiasing, as Pillow\)/);
  });
});

describe('refused is, and nothing is written', () => {
  const cases: readonly (readonly [string, ExportOptions, RegExp])[] = [
    [
      'an option of another format',
      { format: 'pth', opset: 17 },
      /^opset: is for the format onnx, the format is pth; leave it out$/,
    ],
    [
      'an unknown format',
      { format: 'tflite' as 'onnx' },
      /^format: expected one of onnx, safetensors, pth, got "tflite"$/,
    ],
    [
      'an opset that is not offered',
      { format: 'onnx', opset: 9 },
      /^opset: .* from 13 to 26, got 9$/,
    ],
  ];
  for (const [title, options, message] of cases) {
    test(title, () => refused(options, 'option', message));
  }

  test('a folder that is not there, a folder as file, and the checkpoint itself', async () => {
    await mkdir(at('folder'));
    const refusals: readonly (readonly [string, RegExp])[] = [
      ['none/model.pth', /none\/model\.pth: there is no folder .*none; make it, or choose another/],
      ['folder', /folder is a folder; name a file with --out/],
      ['best.safetensors', /best\.safetensors is the checkpoint itself; choose another file/],
    ];
    for (const [out, message] of refusals) {
      await refused({ format: 'pth', out: at(out) }, 'export-folder', message);
    }
    assert.deepEqual(await loadCheckpoint(at('best.safetensors')), checkpoint);
  });

  async function refused(options: ExportOptions, code: string, message: RegExp) {
    const before = await readdir(folder);
    await assert.rejects(exported(options), { code, message });
    assert.deepEqual(await readdir(folder), before);
    assert.ok(!existsSync(at('none')));
  }
});

/** The largest logit's place, of each image. */
function predictions(logits: Float32Array): number[] {
  return Array.from({ length: logits.length / classes.length }, (_, n) => {
    const own = logits.subarray(n * classes.length, (n + 1) * classes.length);
    return own.indexOf(Math.max(...own));
  });
}
