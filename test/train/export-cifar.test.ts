/** A network that others trained, on images that they did not make: in, and out in each format. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { decodeFile } from '../../src/data/decode.js';
import { packageRoot } from '../../src/package-root.js';
import { Classifier } from '../../src/train/classifier.js';
import { exportCheckpoint } from '../../src/train/export-checkpoint.js';
import { importWeights } from '../../src/train/import-weights.js';
import { runOnnxFile } from '../formats/onnx/onnx-runtime.js';
import { withFolder } from '../formats/temporary-folder.js';

const data = path.join(packageRoot().root, '../shared/data/cifar');
const skip = existsSync(data) ? false : '../shared/data is not there';

const classNames = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');
const imageSize = 32;

test('a ResNet-20 from PyTorch predicts the same from each format', { skip }, (context) =>
  withFolder(async (folder) => {
    const at = (name: string) => path.join(folder, name);
    const options = { model: 'resnet20', imageSize, classNames };
    await importWeights(path.join(data, 'resnet20-12fca82f.th'), at('in.safetensors'), options);
    // One image a row of 1,024 pixels: the sheet's pixels are the images' as they stand.
    const { data: images } = await decodeFile(path.join(data, 'cifar10_batch_0.png'));
    const labels = readLabels();
    const expected = await logitsOf(at('in.safetensors'), images);
    const predicted = predictions(expected);
    const correct = predicted.filter((label, i) => label === labels[i]).length;
    context.diagnostic(`${correct} of ${labels.length} correct`);
    assert.ok(correct >= 0.99 * labels.length);

    const { file: bare } = await exportCheckpoint(at('in.safetensors'), { format: 'safetensors' });
    assert.deepEqual(await logitsOf(bare, images), expected);

    const { file: pth } = await exportCheckpoint(at('in.safetensors'), { format: 'pth' });
    await importWeights(pth, at('back.safetensors'), options);
    assert.deepEqual(await logitsOf(at('back.safetensors'), images), expected);

    for (const withPreprocessing of [false, true]) {
      const variant = { format: 'onnx', withPreprocessing } as const;
      const { file } = await exportCheckpoint(at('in.safetensors'), variant);
      const logits = await runOnnxFile(file, images, imageSize, withPreprocessing);
      const difference = Math.max(...logits.map((value, i) => Math.abs(value - expected[i]!)));
      const largest = Math.max(...expected.map(Math.abs));
      context.diagnostic(`ONNX: ${(difference / largest).toExponential(1)} of the largest logit`);
      assert.deepEqual(predictions(logits), predicted);
    }
  }),
);

function readLabels(): number[] {
  const [, ...lines] = readFileSync(path.join(data, 'cifar10_batch_0.csv'), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => classNames.indexOf(line.trim().split(',')[1]!));
}

async function logitsOf(file: string, images: Uint8Array): Promise<Float32Array> {
  const classifier = await Classifier.load(file, { batchSize: 100 });
  try {
    return await classifier.session.logits(images);
  } finally {
    await classifier.dispose();
  }
}

function predictions(logits: Float32Array): number[] {
  const K = classNames.length;
  return Array.from({ length: logits.length / K }, (_, n) => {
    const own = logits.subarray(n * K, (n + 1) * K);
    return own.indexOf(Math.max(...own));
  });
}
