/**
 * Average pooling to a given size, with PyTorch's windows: along an axis of `size` pixels, output i of
 * `count` is the mean over floor(i·size/count) … ceil((i + 1)·size/count) - 1. Windows differ in size
 * by one at most, may overlap, and where count is larger than size pixels are repeated.
 */
import { at, f32, imageSizes, noSecondDerivative, onlyGradient, type OpRule } from './op.js';

export type AdaptivePoolAttributes = {
  readonly outputHeight: number; // OH
  readonly outputWidth: number; // OW
};
export type AdaptivePoolBackwardAttributes = {
  readonly inputHeight: number; // H
  readonly inputWidth: number; // W
};

export const adaptiveAvgPool2d: OpRule<AdaptivePoolAttributes> = {
  infer([x], { outputHeight, outputWidth }) {
    const { N, C } = imageSizes('adaptiveAvgPool2d', 'input', x!);
    return [f32(N, outputHeight, outputWidth, C)];
  },
  vjp(context) {
    const shape = at(context.inputs, 0).shape;
    const dx = context.emit('adaptiveAvgPool2dBackward', [onlyGradient(context)], {
      inputHeight: at(shape, 1),
      inputWidth: at(shape, 2),
    });
    return [at(dx, 0)];
  },
};

/** Inputs: dy. */
export const adaptiveAvgPool2dBackward: OpRule<AdaptivePoolBackwardAttributes> = {
  infer([dy], { inputHeight, inputWidth }) {
    return [f32(at(dy!.shape, 0), inputHeight, inputWidth, at(dy!.shape, 3))];
  },
  vjp: noSecondDerivative,
};
