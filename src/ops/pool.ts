/**
 * Max and average pooling over windows of kernelHeight × kernelWidth.
 *
 * Max pooling saves x and finds the largest value again in backward; the first one wins, as in
 * PyTorch. Average pooling counts the zeros of the padding in unless `countIncludePad` is false.
 * With `ceilMode` a last window that the image fills only in part is taken too, if it begins inside
 * the image or the padding before it; what it lacks behind the padding is never counted.
 */
import type { TensorType } from '../graph/builder.js';
import {
  at,
  f32,
  imageSizes,
  like,
  noSecondDerivative,
  onlyGradient,
  shapeError,
  shapeText,
  windowPositions,
  type OpRule,
} from './op.js';

export type PoolAttributes = {
  readonly kernelHeight: number; // R
  readonly kernelWidth: number; // S
  readonly stride: number;
  readonly padding: number;
};
export type AvgPoolAttributes = PoolAttributes & {
  /** Round the number of windows up. Not stated: false. */
  readonly ceilMode?: boolean;
  /** Divide by the padding's pixels too. Not stated: true. */
  readonly countIncludePad?: boolean;
};
export type AvgPoolBackwardAttributes = AvgPoolAttributes & {
  readonly inputHeight: number; // H
  readonly inputWidth: number; // W
};

function pooled(op: string, x: TensorType, attributes: AvgPoolAttributes): TensorType {
  const { kernelHeight, kernelWidth, stride, padding, ceilMode = false } = attributes;
  const { N, H, W, C } = imageSizes(op, 'input', x);
  if (2 * padding > Math.min(kernelHeight, kernelWidth)) {
    throw shapeError(
      op,
      `padding ${padding} is more than half of the ${kernelHeight}×${kernelWidth} kernel`,
    );
  }
  const positions = ceilMode ? windowsBegun : windowPositions;
  const OH = positions(H, kernelHeight, stride, padding);
  const OW = positions(W, kernelWidth, stride, padding);
  if (OH < 1 || OW < 1) {
    throw shapeError(
      op,
      `the ${kernelHeight}×${kernelWidth} window is larger than the input ${shapeText(x.shape)}; ` +
        'use larger images',
    );
  }
  return f32(N, OH, OW, C);
}

/** Where a window can stand that may reach over the end, but not begin behind the image. */
function windowsBegun(size: number, kernel: number, stride: number, padding: number): number {
  const count = Math.ceil((size + 2 * padding - kernel) / stride) + 1;
  return (count - 1) * stride >= size + padding ? count - 1 : count;
}

export const maxPool2d: OpRule<PoolAttributes> = {
  infer: ([x], attributes) => [pooled('maxPool2d', x!, attributes)],
  vjp(context) {
    const inputs = [onlyGradient(context), at(context.inputs, 0)];
    return [context.emit('maxPool2dBackward', inputs, context.attributes)[0]!];
  },
};

/** Inputs: dy, x. */
export const maxPool2dBackward: OpRule<PoolAttributes> = {
  infer: ([, x]) => [like(x!)],
  vjp: noSecondDerivative,
};

export const avgPool2d: OpRule<AvgPoolAttributes> = {
  infer: ([x], attributes) => [pooled('avgPool2d', x!, attributes)],
  vjp(context) {
    const shape = at(context.inputs, 0).shape;
    const dx = context.emit('avgPool2dBackward', [onlyGradient(context)], {
      ...context.attributes,
      inputHeight: at(shape, 1),
      inputWidth: at(shape, 2),
    });
    return [at(dx, 0)];
  },
};

/** Inputs: dy. */
export const avgPool2dBackward: OpRule<AvgPoolBackwardAttributes> = {
  infer([dy], { inputHeight, inputWidth }) {
    return [f32(at(dy!.shape, 0), inputHeight, inputWidth, at(dy!.shape, 3))];
  },
  vjp: noSecondDerivative,
};
