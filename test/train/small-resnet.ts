/** A residual network of a few thousand weights, with images for it: steps of milliseconds. */
import { BasicBlock } from '../../src/models/blocks.js';
import { flatten, globalAvgPool2d, maxPool2d, relu } from '../../src/nn/functional.js';
import { batchNorm2d, conv2d, linear, sequential } from '../../src/nn/layers.js';
import type { Module } from '../../src/nn/module.js';
import { Random } from '../../src/random/philox.js';
import type { Batch } from '../../src/train/session.js';
import type { GraphOptions } from '../../src/train/training-graph.js';

const classes = 3;

/** Stem, a block with a plain skip, one with a projection, classifier; odd numbers of channels. */
export function smallResNet(): Module {
  return sequential(
    conv2d(3, 15, { kernelSize: 3, padding: 1, bias: false }),
    batchNorm2d(15),
    relu,
    (x) => maxPool2d(x, { kernelSize: 3, stride: 2, padding: 1 }),
    new BasicBlock(15, 15),
    new BasicBlock(15, 33, 2),
    globalAvgPool2d,
    flatten,
    linear(33, classes),
  );
}

export function smallSessionOptions(
  batchSize: number,
  imageSize: number,
): GraphOptions & { readonly seed: number } {
  const normalization = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  return { batchSize, imageSize, normalization, seed: 5 };
}

/** Noise, a little brighter in class 1 and more so in class 2. */
export function noiseBatch(index: number, N: number, imageSize: number): Batch {
  const random = new Random(9, 'bench', index);
  const labels = Int32Array.from({ length: N }, () => random.below(classes));
  const pixels = imageSize * imageSize * 3;
  const images = Uint8Array.from({ length: N * pixels }, (_, i) => {
    return random.below(160) + 40 * labels[Math.floor(i / pixels)]!;
  });
  return { images, labels };
}
