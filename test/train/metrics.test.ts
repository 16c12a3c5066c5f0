import assert from 'node:assert/strict';
import test from 'node:test';
import {
  addBatch,
  argmax,
  countInto,
  crossEntropyOf,
  emptyConfusion,
  meanLoss,
  noImages,
  precisionPerClass,
  recallPerClass,
  softmax,
  top1,
} from '../../src/train/metrics.js';

test('cross-entropy is -log softmax, also where exp would overflow', () => {
  assert.equal(crossEntropyOf(Float32Array.of(0, 0, 0, 0), 2), Math.log(4));
  assert.equal(crossEntropyOf(Float32Array.of(5000, 0), 0), 0);
  assert.equal(crossEntropyOf(Float32Array.of(5000, 0), 1), 5000);
  const expected = -Math.log(Math.exp(2) / (Math.exp(1) + Math.exp(2) + Math.exp(-1)));
  assert(Math.abs(crossEntropyOf(Float32Array.of(1, 2, -1), 1) - expected) < 1e-15);
});

test('cross-entropy of logits that are not numbers is not a number', () => {
  assert(Number.isNaN(crossEntropyOf(Float32Array.of(NaN, 1), 1)));
  assert(Number.isNaN(crossEntropyOf(Float32Array.of(Infinity, 1), 1)));
});

test('softmax adds up to 1, argmax takes the first of equals', () => {
  const probabilities = softmax(Float32Array.of(1000, 999, -1000));
  assert(Math.abs(probabilities.reduce((a, b) => a + b, 0) - 1) < 1e-15);
  assert(probabilities[0]! > probabilities[1]!);
  assert.equal(argmax(Float32Array.of(1, 3, 3)), 1);
});

test('sums over batches equal the sums over all images, an uneven last batch included', () => {
  const logits = Float32Array.of(2, 1, 0, 3, 1, 1);
  const labels = Int32Array.of(0, 0, 1);
  const whole = addBatch(noImages, logits, labels);
  const first = addBatch(noImages, logits.subarray(0, 4), labels.subarray(0, 2));
  assert.deepEqual(addBatch(first, logits.subarray(4), labels.subarray(2)), whole);
  assert.equal(top1(whole), 1 / 3);
  const losses = [0, 1, 2].map((n) =>
    crossEntropyOf(logits.subarray(2 * n, 2 * n + 2), labels[n]!),
  );
  assert.equal(meanLoss(whole), (losses[0]! + losses[1]! + losses[2]!) / 3);
});

test('precision and recall come from columns and rows; null where there is nothing', () => {
  const confusion = emptyConfusion(3);
  const logits = Float32Array.of(1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0);
  countInto(confusion, logits, Int32Array.of(0, 0, 1, 1));
  assert.deepEqual(confusion, [
    [2, 0, 0],
    [1, 1, 0],
    [0, 0, 0],
  ]);
  assert.deepEqual(precisionPerClass(confusion), [2 / 3, 1, null]);
  assert.deepEqual(recallPerClass(confusion), [1, 0.5, null]);
});
