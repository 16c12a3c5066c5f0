/**
 * The shortcut without parameters where a stage halves the image and widens the channels: every
 * stride-th pixel, between zeros (He et al. 2015, arXiv 1512.03385, section 3.3, option A).
 *
 * y(n,oh,ow,k) = x(n, oh·stride, ow·stride, k - before) for before ≤ k < before + C, else 0, with
 * before = floor((outChannels - C)/2), OH = ceil(H/stride) and OW = ceil(W/stride).
 */
import {
  at,
  f32,
  imageSizes,
  noSecondDerivative,
  onlyGradient,
  shapeError,
  shapeText,
  type OpRule,
} from './op.js';

export type IdentityShortcutAttributes = {
  readonly stride: number;
  readonly outChannels: number; // K
};
export type IdentityShortcutBackwardAttributes = {
  readonly stride: number;
  readonly inputHeight: number; // H
  readonly inputWidth: number; // W
  readonly inputChannels: number; // C
};

export const identityShortcut: OpRule<IdentityShortcutAttributes> = {
  infer([x], { stride, outChannels }) {
    const { N, H, W, C } = imageSizes('identityShortcut', 'input', x!);
    if (outChannels < C) {
      throw shapeError(
        'identityShortcut',
        `input has ${C} channels, ${outChannels} are to come out; it adds channels and drops none ` +
          `(input ${shapeText(x!.shape)})`,
      );
    }
    return [f32(N, Math.ceil(H / stride), Math.ceil(W / stride), outChannels)];
  },
  vjp(context) {
    const shape = at(context.inputs, 0).shape;
    const dx = context.emit('identityShortcutBackward', [onlyGradient(context)], {
      stride: context.attributes.stride,
      inputHeight: at(shape, 1),
      inputWidth: at(shape, 2),
      inputChannels: at(shape, 3),
    });
    return [at(dx, 0)];
  },
};

/** Inputs: dy. dx is dy where a pixel and a channel were taken, else 0. */
export const identityShortcutBackward: OpRule<IdentityShortcutBackwardAttributes> = {
  infer([dy], { inputHeight, inputWidth, inputChannels }) {
    return [f32(at(dy!.shape, 0), inputHeight, inputWidth, inputChannels)];
  },
  vjp: noSecondDerivative,
};
