/**
 * Convolution in evaluation, where weights stay as they are from run to run: they are packed once,
 * a batch normalisation's scale multiplied into them, and its shift, the skip connection's addition
 * and relu happen as the result is stored. The planner makes both ops.
 *
 * y = relu(Σ x · weight·scale + shift + residual), relu and residual where they are there.
 *
 * Source: Jacob et al. 2018, arXiv 1712.05877, section 3.2 (folding).
 */
import type { Conv2dAttributes } from './conv2d.js';
import { at, f32, imageSizes, windowPositions, type OpRule } from './op.js';

const onlyPlanned = { none: 'the planner makes it, in evaluation' } as const;

/** `transformed`: for Winograd's algorithm at this stride, 36 values for nine. */
export type PackWeightAttributes = { readonly transformed: boolean; readonly stride: number };

/**
 * Of a weight (K,R,S,C) as the kernels read it: output channels in panels of 32, C in 16s, four times
 * as many where it is transformed.
 */
export function packedShape([K, R, S, C]: readonly number[], transformed: boolean): number[] {
  const upTo = (multiple: number, size: number) => Math.ceil(size / multiple) * multiple;
  return [upTo(32, K!), R!, S!, upTo(16, C!) * (transformed ? 4 : 1)];
}

/** Inputs: weight (K,R,S,C) [, scale (K)]. Output: weight·scale, packed as the backend reads it. */
export const packWeight: OpRule<PackWeightAttributes> = {
  infer: ([weight], { transformed }) => [f32(...packedShape(weight!.shape, transformed))],
  vjp: onlyPlanned,
};

export type Conv2dInferenceAttributes = Conv2dAttributes &
  PackWeightAttributes & { readonly relu: boolean };

/** Inputs: x (N,H,W,C), packed weight, shift (K) [, residual (N,OH,OW,K)]. */
export const conv2dInference: OpRule<Conv2dInferenceAttributes> = {
  infer([x, packed, shift], { stride, padding }) {
    const { N, H, W } = imageSizes('conv2dInference', 'input', x!);
    const [, R, S] = packed!.shape as [number, number, number, number];
    const OH = windowPositions(H, R, stride, padding);
    const OW = windowPositions(W, S, stride, padding);
    return [f32(N, OH, OW, at(shift!.shape, 0))];
  },
  vjp: onlyPlanned,
  mayOverwrite: [3],
  flops([x, packed], [y]) {
    const [, R, S] = packed!.shape as [number, number, number, number];
    const values = y!.shape.reduce((count, size) => count * size, 1);
    return 2 * values * R * S * at(x!.shape, 3);
  },
};
