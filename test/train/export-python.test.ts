/** PyTorch, safetensors and the ONNX checker read what plusx exports; where Python has them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { openBackend } from '../../src/backend/devices.js';
import { imagenet, toFloat } from '../../src/data/transforms.js';
import { createModel } from '../../src/models/registry.js';
import { packageRoot } from '../../src/package-root.js';
import { exportOnnx, type OnnxOptions } from '../../src/train/export-onnx.js';
import { exportPth, exportSafetensors } from '../../src/train/export-weights.js';
import { prepare } from '../formats/onnx/families.js';
import { channelsFirst } from '../formats/onnx/onnx-runtime.js';
import { withFolder } from '../formats/temporary-folder.js';

const python = process.env['PLUSX_PYTHON'];
const skip = python ? false : 'PLUSX_PYTHON names no Python with torch, torchvision and onnx';

/** Largest difference of logits, as a share of the largest logit. */
const tolerance = 1e-5;

const networks = ['resnet18', 'resnext50_32x4d', 'alexnet', 'vgg11_bn'];
const classes = 5;
const imageSize = 96;

const onnxVariants: Readonly<Record<string, OnnxOptions>> = {
  'folded.onnx': {},
  'kept.onnx': { foldBatchNorm: false },
  'bytes.onnx': { withPreprocessing: true },
  'oldest.onnx': { opset: 13 },
};

describe('PyTorch gives the same logits, and the ONNX checker finds no fault', { skip }, () => {
  for (const name of networks) {
    test(`with ${name}`, (context) =>
      withFolder(async (folder) => {
        const job = await exportAll(name, folder);
        await writeFile(path.join(folder, 'job.json'), JSON.stringify(job));
        const script = path.join(packageRoot().root, 'scripts/check_exports.py');
        const { stdout } = await promisify(execFile)(python!, [script, folder]);
        const checked = JSON.parse(stdout) as Readonly<Record<string, number>>;
        assert.deepEqual(Object.keys(checked), [...job.onnx, ...job.pth, ...job.safetensors]);
        for (const [file, difference] of Object.entries(checked)) {
          context.diagnostic(`${name}, ${file}: ${difference.toExponential(1)}`);
          assert.ok(difference <= tolerance, `${file}: ${difference} of the largest logit`);
        }
      }));
  }
});

/** Every format of a network in `folder`, with images and plusx's logits; what the script is told. */
async function exportAll(name: string, folder: string) {
  const backend = await openBackend();
  const create = () => createModel(name, { classes });
  const { model, state, images, logits } = await prepare({ name, imageSize, create }, backend);
  await backend.dispose();
  for (const [file, options] of Object.entries(onnxVariants)) {
    const sizes = { imageSize, normalization: imagenet };
    await exportOnnx(path.join(folder, file), model, state, { ...sizes, ...options });
  }
  await exportPth(path.join(folder, 'model.pth'), state, { batches: 7 });
  await exportSafetensors(path.join(folder, 'model.safetensors'), state, { batches: 7 });
  const floats = channelsFirst(toFloat(images, imagenet), imageSize);
  await writeFile(path.join(folder, 'images.f32'), new Uint8Array(floats.buffer));
  return {
    model: name,
    classes,
    images: 'images.f32',
    shape: [3, 3, imageSize, imageSize],
    logits: [...logits],
    onnx: Object.keys(onnxVariants),
    pth: ['model.pth'],
    safetensors: ['model.safetensors'],
  };
}
