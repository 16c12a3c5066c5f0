/**
 * The same numbers, counted otherwise: reshape, and the two orders of an image's axes.
 *
 * PyTorch flattens (N, C, H, W); activations here are (N, H, W, C). Whoever flattens more than one
 * pixel passes through `nhwcToNchw`, so that a linear layer's weights mean the same in both.
 */
import { elementCount } from '../graph/graph.js';
import { at, expectRank, onlyGradient, shapeError, shapeText, type OpRule } from './op.js';

export type ReshapeAttributes = { readonly shape: readonly number[] };

export const reshape: OpRule<ReshapeAttributes> = {
  infer([x], { shape }) {
    if (elementCount(x!.shape) !== elementCount(shape)) {
      throw shapeError(
        'reshape',
        `${shapeText(x!.shape)} has ${elementCount(x!.shape)} values, ` +
          `${shapeText(shape)} needs ${elementCount(shape)}`,
      );
    }
    return [{ shape, dtype: x!.dtype }];
  },
  vjp(context) {
    const shape = at(context.inputs, 0).shape;
    return [context.emit('reshape', [onlyGradient(context)], { shape })[0]!];
  },
  view: true,
};

export const nhwcToNchw: OpRule<Record<never, never>> = {
  infer([x]) {
    expectRank('nhwcToNchw', 'input', x!, 4);
    const [N, H, W, C] = x!.shape as [number, number, number, number];
    return [{ shape: [N, C, H, W], dtype: 'f32' }];
  },
  vjp: (context) => [at(context.emit('nchwToNhwc', [onlyGradient(context)], {}), 0)],
};

export const nchwToNhwc: OpRule<Record<never, never>> = {
  infer([x]) {
    expectRank('nchwToNhwc', 'input', x!, 4);
    const [N, C, H, W] = x!.shape as [number, number, number, number];
    return [{ shape: [N, H, W, C], dtype: 'f32' }];
  },
  vjp: (context) => [at(context.emit('nhwcToNchw', [onlyGradient(context)], {}), 0)],
};
