/** Functions on symbolic tensors: what has no parameters. */
import { PlusxError } from '../errors.js';
import { elementCount } from '../graph/graph.js';
import { imageSizes } from '../ops/op.js';
import type { Tensor } from './tensor.js';

/** max(x, 0) */
export function relu(x: Tensor): Tensor {
  return x.trace.emitOne('relu', [x], {});
}

/** 1/(1 + e^-x) */
export function sigmoid(x: Tensor): Tensor {
  return x.trace.emitOne('sigmoid', [x], {});
}

/**
 * Each image's channels times a scale of their own: x (N, H, W, C), s (N, 1, 1, C). Throws `shape`
 * where they do not fit. Source: squeeze-and-excitation, arXiv 1709.01507.
 */
export function scaleChannels(x: Tensor, s: Tensor): Tensor {
  return x.trace.emitOne('scaleChannels', [x, s], {});
}

export interface DropoutOptions {
  /** The probability that a value is dropped, at least 0 and below 1. Default 0.5. */
  readonly p?: number;
}

/**
 * In training, zero with probability p, else x/(1 - p); in evaluation x. The mask depends on the
 * session's seed, the step, and which of the model's dropouts this is: on nothing else, so that a
 * resumed run drops the same values. Throws `option` where p is no such probability.
 */
export function dropout(x: Tensor, { p = 0.5 }: DropoutOptions = {}): Tensor {
  if (!(p >= 0 && p < 1)) {
    throw new PlusxError('option', `dropout: p must be at least 0 and below 1, got ${p}`);
  }
  const { trace } = x;
  if (!trace.training || p === 0) return x;
  const { words, layer } = trace.randomness();
  return trace.emitOne('dropout', [x, words], { p, layer });
}

export interface IdentityShortcutOptions {
  /** Every so manieth row and column is taken. */
  readonly stride: number;
  /** At least x's channels; those beyond are zero, half of them before and half behind. */
  readonly outChannels: number;
}

/**
 * The shortcut without parameters of arXiv 1512.03385, section 3.3, option A: (N, H, W, C) →
 * (N, ceil(H/stride), ceil(W/stride), outChannels), x's channels from floor((outChannels - C)/2) on.
 * Throws `shape` where outChannels is below C.
 */
export function identityShortcut(x: Tensor, options: IdentityShortcutOptions): Tensor {
  const { stride, outChannels } = options;
  expectPositive('identityShortcut', 'stride', stride);
  expectPositive('identityShortcut', 'outChannels', outChannels);
  return x.trace.emitOne('identityShortcut', [x], { stride, outChannels });
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

export interface AvgPool2dOptions extends Pool2dOptions {
  /** Takes a last window that reaches over the edge too, as PyTorch's ceil_mode. Default false. */
  readonly ceilMode?: boolean;
  /** Counts the zeros of the padding in. Default true. */
  readonly countIncludePad?: boolean;
}

/**
 * The mean of each window, over the pixels inside the image and, with `countIncludePad`, the padding's
 * zeros; never over what a window of `ceilMode` has beyond them.
 */
export function avgPool2d(x: Tensor, options: AvgPool2dOptions): Tensor {
  const { ceilMode = false, countIncludePad = true } = options;
  return x.trace.emitOne('avgPool2d', [x], {
    ...windowOf(options),
    ...(ceilMode ? { ceilMode } : {}),
    ...(countIncludePad ? {} : { countIncludePad }),
  });
}

/** The mean over all pixels: (N, H, W, C) → (N, 1, 1, C), PyTorch's AdaptiveAvgPool2d(1). */
export function globalAvgPool2d(x: Tensor): Tensor {
  const { H, W } = imageSizes('globalAvgPool2d', 'input', x.value);
  const window = { kernelHeight: H, kernelWidth: W, stride: 1, padding: 0 };
  return x.trace.emitOne('avgPool2d', [x], window);
}

/**
 * (N, H, W, C) → (N, OH, OW, C): output (i, j) is the mean over rows floor(i·H/OH) …
 * ceil((i + 1)·H/OH) - 1 and likewise columns, as PyTorch's AdaptiveAvgPool2d. `outputSize` is OH = OW
 * or [OH, OW]; x itself where it has that size, plain average pooling where all windows are alike.
 */
export function adaptiveAvgPool2d(
  x: Tensor,
  outputSize: number | readonly [height: number, width: number],
): Tensor {
  const [OH, OW] = typeof outputSize === 'number' ? [outputSize, outputSize] : outputSize;
  expectPositive('adaptiveAvgPool2d', 'outputSize', OH);
  expectPositive('adaptiveAvgPool2d', 'outputSize', OW);
  const { H, W } = imageSizes('adaptiveAvgPool2d', 'input', x.value);
  if (H === OH && W === OW) return x;
  if (OH === 1 && OW === 1) return globalAvgPool2d(x);
  if (H % OH === 0 && H / OH === W / OW) return avgPool2d(x, { kernelSize: H / OH });
  return x.trace.emitOne('adaptiveAvgPool2d', [x], { outputHeight: OH, outputWidth: OW });
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

function expectPositive(who: string, name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new PlusxError(
    'option',
    `${who}: ${name} must be a whole number of at least 1, got ${value}`,
  );
}
