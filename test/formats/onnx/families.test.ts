/**
 * Every family of networks, exported to ONNX, gives plusx's logits in onnxruntime. With
 * PLUSX_WHOLE_MODELS=all each model of the registry at its own depth and size, which takes minutes;
 * with PLUSX_WHOLE_MODELS=resnet50,vgg16 these.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Backend } from '../../../src/backend/backend.js';
import { openBackend } from '../../../src/backend/devices.js';
import { imagenet } from '../../../src/data/transforms.js';
import { onnxModel, type OnnxOptions } from '../../../src/train/export-onnx.js';
import { families, prepare, wholeFamilies, type Prepared } from './families.js';
import { runOnnx } from './onnx-runtime.js';

/** Largest difference of logits, as a share of the largest logit. */
const tolerance = 1e-4;

const variants: readonly (readonly [string, OnnxOptions])[] = [
  ['batch-norms folded', {}],
  ['batch-norms kept', { foldBatchNorm: false }],
  ['bytes in', { withPreprocessing: true }],
];

let backend: Backend;
before(async () => {
  backend = await openBackend();
});
after(() => backend.dispose());

const whole = process.env['PLUSX_WHOLE_MODELS'];
const chosen = whole
  ? wholeFamilies.filter(({ name }) => whole === 'all' || whole.split(',').includes(name))
  : families;

for (const family of chosen) {
  describe(`${family.name} in onnxruntime`, () => {
    let prepared: Prepared;
    before(async () => {
      prepared = await prepare(family, backend);
    });

    for (const [title, options] of variants) {
      test(`gives plusx's logits, ${title}, in batches of 3 and 1`, async (context) => {
        const { model, state, imageSize, images, logits } = prepared;
        const sizes = { imageSize, normalization: imagenet };
        const onnx = onnxModel(model, state, { ...options, ...sizes });
        const last = images.subarray((2 * images.length) / 3);
        const difference = Math.max(
          relativeDifference(await runOnnx(onnx, images, imageSize), logits),
          relativeDifference(
            await runOnnx(onnx, last, imageSize),
            logits.slice(-logits.length / 3),
          ),
        );
        context.diagnostic(`${family.name}, ${title}: ${difference.toExponential(1)}`);
        assert.ok(difference <= tolerance, `${difference} of the largest logit`);
      });
    }
  });
}

function relativeDifference(found: Float32Array, expected: Float32Array): number {
  assert.equal(found.length, expected.length);
  const largest = (numbers: Float32Array) => Math.max(...numbers.map(Math.abs));
  assert.ok(largest(expected) > 0.01, 'the logits say nothing');
  return largest(expected.map((value, i) => value - found[i]!)) / largest(expected);
}
