/** PyTorch, safetensors and the ONNX checker read what plusx exports; where Python has them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { openBackend } from '../../src/backend/devices.js';
import { imagenet, toFloat } from '../../src/data/transforms.js';
import { packageRoot } from '../../src/package-root.js';
import { exportOnnx } from '../../src/train/export-onnx.js';
import { exportPth, exportSafetensors } from '../../src/train/export-weights.js';
import { families, prepare } from '../formats/onnx/families.js';
import { channelsFirst } from '../formats/onnx/onnx-runtime.js';
import { withFolder } from '../formats/temporary-folder.js';

const python = process.env['PLUSX_PYTHON'];
const skip = python ? false : 'PLUSX_PYTHON names no Python with torch, torchvision and onnx';

/** Largest difference of logits, as a share of the largest logit. */
const tolerance = 1e-5;

test('PyTorch gives the same logits, and the checker finds no fault', { skip }, (context) =>
  withFolder(async (folder) => {
    const backend = await openBackend();
    const family = families.find(({ name }) => name === 'resnet18')!;
    const { model, state, images, logits, imageSize } = await prepare(family, backend);
    await backend.dispose();

    const sizes = { imageSize, normalization: imagenet };
    const variants = {
      'folded.onnx': {},
      'kept.onnx': { foldBatchNorm: false },
      'bytes.onnx': { withPreprocessing: true },
      'oldest.onnx': { opset: 13 },
    };
    for (const [name, options] of Object.entries(variants)) {
      await exportOnnx(path.join(folder, name), model, state, { ...sizes, ...options });
    }
    await exportPth(path.join(folder, 'model.pth'), state, { batches: 7 });
    await exportSafetensors(path.join(folder, 'model.safetensors'), state, { batches: 7 });
    const floats = channelsFirst(toFloat(images, imagenet), imageSize);
    await writeFile(path.join(folder, 'images.f32'), new Uint8Array(floats.buffer));
    const job = {
      model: 'resnet18',
      classes: logits.length / 3,
      images: 'images.f32',
      shape: [3, 3, imageSize, imageSize],
      logits: [...logits],
      onnx: Object.keys(variants),
      pth: ['model.pth'],
      safetensors: ['model.safetensors'],
    };
    await writeFile(path.join(folder, 'job.json'), JSON.stringify(job));

    const script = path.join(packageRoot().root, 'scripts/check_exports.py');
    const { stdout } = await promisify(execFile)(python!, [script, folder]);
    const checked = JSON.parse(stdout) as Readonly<Record<string, number>>;
    assert.deepEqual(Object.keys(checked), [...job.onnx, ...job.pth, ...job.safetensors]);
    for (const [file, difference] of Object.entries(checked)) {
      context.diagnostic(`${file}: ${difference.toExponential(1)}`);
      assert.ok(difference <= tolerance, `${file}: ${difference} of the largest logit`);
    }
  }),
);
