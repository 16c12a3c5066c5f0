/**
 * y(n,h,w,c) = x(n,h,w,c)·s(n,0,0,c): each image's channels weighted, as squeeze-and-excitation does
 * (Hu et al. 2017, arXiv 1709.01507, eq. 4). Backward saves x and s.
 */
import {
  at,
  f32,
  imageSizes,
  like,
  noSecondDerivative,
  onlyGradient,
  shapeError,
  shapeText,
  type OpRule,
} from './op.js';
import { sameShape } from '../graph/graph.js';

/** Inputs: x (N, H, W, C), s (N, 1, 1, C). */
export const scaleChannels: OpRule<Record<never, never>> = {
  infer([x, s]) {
    const { N, C } = imageSizes('scaleChannels', 'input', x!);
    if (!sameShape(s!.shape, [N, 1, 1, C])) {
      throw shapeError(
        'scaleChannels',
        `input ${shapeText(x!.shape)} needs a scale of ${shapeText([N, 1, 1, C])}, ` +
          `got ${shapeText(s!.shape)}`,
      );
    }
    return [like(x!)];
  },
  vjp(context) {
    const dy = onlyGradient(context);
    const [x, s] = context.inputs;
    return [
      context.wants(0) ? at(context.emit('scaleChannels', [dy, s!], {}), 0) : null,
      context.wants(1) ? at(context.emit('scaleChannelsBackward', [dy, x!], {}), 0) : null,
    ];
  },
  mayOverwrite: [0],
};

/** ds(n,0,0,c) = Σ dy(n,h,w,c)·x(n,h,w,c). Inputs: dy, x. */
export const scaleChannelsBackward: OpRule<Record<never, never>> = {
  infer([dy]) {
    const { N, C } = imageSizes('scaleChannels', 'gradient', dy!);
    return [f32(N, 1, 1, C)];
  },
  vjp: noSecondDerivative,
};
