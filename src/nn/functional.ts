/** Functions on symbolic tensors: what has no parameters. */
import { elementCount } from '../graph/graph.js';
import { imageSizes } from '../ops/op.js';
import type { Tensor } from './tensor.js';

/** max(x, 0) */
export function relu(x: Tensor): Tensor {
  return x.trace.emitOne('relu', [x], {});
}

export interface Pool2dOptions {
  /** Side of the square window. */
  readonly kernelSize: number;
  /** Default: the window's side. */
  readonly stride?: number;
  /** Default 0. */
  readonly padding?: number;
}

/** The largest value of each window; padding never wins. */
export function maxPool2d(x: Tensor, options: Pool2dOptions): Tensor {
  return x.trace.emitOne('maxPool2d', [x], windowOf(options));
}

/** The mean of each window, zeros of the padding counted in. */
export function avgPool2d(x: Tensor, options: Pool2dOptions): Tensor {
  return x.trace.emitOne('avgPool2d', [x], windowOf(options));
}

/** The mean over all pixels: (N, H, W, C) → (N, 1, 1, C), PyTorch's AdaptiveAvgPool2d(1). */
export function globalAvgPool2d(x: Tensor): Tensor {
  const { H, W } = imageSizes('globalAvgPool2d', 'input', x.value);
  const window = { kernelHeight: H, kernelWidth: W, stride: 1, padding: 0 };
  return x.trace.emitOne('avgPool2d', [x], window);
}

/** (N, …) → (N, features), in PyTorch's order of channels before pixels. */
export function flatten(x: Tensor): Tensor {
  const [N = 1, H = 1, W = 1] = x.shape;
  const severalPixels = x.shape.length === 4 && H * W > 1;
  const ordered = severalPixels ? x.trace.emitOne('nhwcToNchw', [x], {}) : x;
  return x.trace.emitOne('reshape', [ordered], { shape: [N, elementCount(x.shape) / N] });
}

/** Mean cross-entropy of logits (N, classes) against labels (N): a tensor of one value. */
export function crossEntropy(logits: Tensor, labels: Tensor): Tensor {
  return logits.trace.emitOne('softmaxCrossEntropy', [logits, labels], {});
}

function windowOf({ kernelSize, stride = kernelSize, padding = 0 }: Pool2dOptions) {
  return { kernelHeight: kernelSize, kernelWidth: kernelSize, stride, padding };
}
