/** Checkpoints from weights that other programs trained, a published ResNet-20 among them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { createModel } from '../../src/models/registry.js';
import { packageRoot } from '../../src/package-root.js';
import { loadCheckpoint, saveWeights } from '../../src/train/checkpoint.js';
import { evaluate } from '../../src/train/evaluate.js';
import { importWeights } from '../../src/train/import-weights.js';
import { initialValues } from '../../src/train/initialize.js';
import { toFileLayout, type StateDict } from '../../src/train/state-dict.js';
import { withFolder } from '../formats/temporary-folder.js';

const { root } = packageRoot();
const cifar = path.join(root, '../shared/data/cifar');
const cifarClasses = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');

/** A drawn network under other names, as a file. */
async function writeDrawn(file: string): Promise<StateDict> {
  const model = createModel('resnet20', { classes: 3 });
  const parameters = model.namedParameters();
  const own: StateDict = new Map();
  for (const [key, data] of initialValues(model, 1)) {
    own.set(key, toFileLayout(parameters.get(key)!.shape, data));
  }
  const renamed = Array.from(own, ([key, tensor]) => {
    return [`module.${key.replace(/^fc/, 'linear')}`, tensor] as const;
  });
  await saveWeights(file, new Map(renamed));
  return own;
}

describe('importing', () => {
  test('gives a checkpoint with the same numbers, classes and preprocessing', () =>
    withFolder(async (folder) => {
      const file = path.join(folder, 'weights.safetensors');
      const out = path.join(folder, 'checkpoint.safetensors');
      const own = await writeDrawn(file);
      const classNames = ['cat', 'dog', 'frog'];
      const report = await importWeights(file, out, { model: 'resnet20', classNames });
      assert.deepEqual(report.notes, [
        'prefix "module." removed',
        '"linear.weight" is "fc.weight" here, "linear.bias" is "fc.bias" here',
      ]);
      const checkpoint = await loadCheckpoint(out);
      assert.deepEqual(checkpoint.model, { name: 'resnet20' });
      assert.deepEqual(checkpoint.classes, classNames);
      assert.equal(checkpoint.training, null);
      for (const [key, { data }] of own)
        assert.deepEqual(checkpoint.state.get(key)!.data, data, key);
      // CIFAR's networks see images of 32 pixels as they are
      const { resize, outputSize, normalization } = checkpoint.preprocessing;
      assert.deepEqual([resize, outputSize, normalization.std[0]], [32, 32, 0.229]);
    }));

  test('takes another preprocessing and numbers for names where it is told', () =>
    withFolder(async (folder) => {
      const file = path.join(folder, 'weights.safetensors');
      const out = path.join(folder, 'checkpoint.safetensors');
      await writeDrawn(file);
      const half = [0.5, 0.5, 0.5];
      const options = { model: 'resnet20', classes: 3, imageSize: 40, resize: 44, mean: half };
      await importWeights(file, out, { ...options, exif: 'ignore' });
      const { classes, preprocessing } = await loadCheckpoint(out);
      assert.deepEqual(classes, ['0', '1', '2']);
      assert.deepEqual(preprocessing.toJSON(), {
        ...{ resize: 44, crop: 40, mean: half, std: [0.229, 0.224, 0.225], exif: 'ignore' },
      });
    }));

  test('refuses what cannot be meant, and leaves no file behind', () =>
    withFolder(async (folder) => {
      const file = path.join(folder, 'weights.safetensors');
      const out = path.join(folder, 'checkpoint.safetensors');
      await writeDrawn(file);
      const cases: [Parameters<typeof importWeights>[2], string, RegExp][] = [
        [{ model: 'resnet20' }, 'weights-mismatch', /"fc\.weight": the file has \[3,64\]/],
        [{ model: 'resnet19' }, 'unknown-model', /"resnet19"/],
        [{ model: 'resnet20', stem: 'conv3x3' }, 'option', /resnet20 has no option stem/],
        [{ model: 'resnet20', classNames: ['a', 'a', 'b'] }, 'option', /"a" is there twice/],
        [{ model: 'resnet20', classNames: ['a', ''] }, 'option', /one of them is empty/],
        [
          { model: 'resnet20', classes: 4, classNames: ['a', 'b', 'c'] },
          'option',
          /there are 3 of them, and classes is 4/,
        ],
      ];
      for (const [options, code, message] of cases) {
        await assert.rejects(importWeights(file, out, options), { code, message });
      }
      assert.ok(!existsSync(out));
      const itself = importWeights(file, file, { model: 'resnet20', classes: 3 });
      await assert.rejects(itself, { code: 'option', message: /name another file/ });
    }));
});

test(
  'a published ResNet-20 classifies at least 99 % of 1,000 CIFAR-10 images correctly',
  { skip: existsSync(cifar) ? false : '../shared/data is not there' },
  (context) =>
    withFolder(async (folder) => {
      const images = path.join(folder, 'images');
      const [script, sheet, labels] = [
        path.join(root, 'scripts/cut-cifar-sheet.mjs'),
        path.join(cifar, 'cifar10_batch_0.png'),
        path.join(cifar, 'cifar10_batch_0.csv'),
      ];
      await promisify(execFile)(process.execPath, [script, sheet, labels, images]);
      const out = path.join(folder, 'resnet20.safetensors');
      const options = { model: 'resnet20', classNames: cifarClasses };
      const report = await importWeights(path.join(cifar, 'resnet20-12fca82f.th'), out, options);
      assert.equal(report.format, 'pytorch-legacy');
      assert.equal(report.parameters, 269_722);
      const {
        top1,
        images: count,
        loss,
        device,
      } = await evaluate(out, images, {
        batchSize: 50,
        threads: 1,
      });
      context.diagnostic(`${(100 * top1).toFixed(2)} % of ${count}, loss ${loss}, ${device}`);
      assert.equal(count, 1000);
      assert.ok(top1 >= 0.99, `${top1}`);
    }),
);
