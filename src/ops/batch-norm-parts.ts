/**
 * Batch normalisation in parts, as the planner takes it apart to put the parts elsewhere: statistics
 * into the convolution before it, the affine map into the convolution behind it.
 *
 * Source: Jung et al. 2018, arXiv 1807.01702 (restructuring batch normalisation).
 */
import type { TensorType } from '../graph/builder.js';
import type { BatchNormAttributes, BatchNormInferenceAttributes } from './batch-norm.js';
import { at, expectChannels, f32, lastAxis, like, type OpRule } from './op.js';

export type ReluAttributes = { readonly relu: boolean };

/** `residualRelu`: the residual, after its own scale and shift, is positive or 0. */
export type ScaleShiftAttributes = ReluAttributes & { readonly residualRelu: boolean };

/** `running`: mean and invStd are running statistics, constants that do not depend on x. */
export type RunningAttributes = { readonly running: boolean };
export type BackwardSumsAttributes = ReluAttributes & RunningAttributes;

const onlyPlanned = { none: 'the planner makes it, behind differentiation' } as const;

/**
 * Inputs: x, weight, bias, running mean, running variance and, where the convolution that made x
 * has summed already, its partial statistics (blocks, 3, C).
 * Outputs: scale, shift, mean, invStd, both new; y = x·scale + shift.
 */
export const batchNormStatistics: OpRule<BatchNormAttributes> = {
  infer(inputs) {
    const C = lastAxis(at(inputs, 0));
    return Array.from({ length: 6 }, () => f32(C));
  },
  vjp: onlyPlanned,
  replaces: { 4: 3, 5: 4 },
};

/** Inputs: weight, bias, running mean, running variance. Outputs: scale, shift. */
export const batchNormFold: OpRule<BatchNormInferenceAttributes> = {
  infer: ([weight]) => [like(weight!), like(weight!)],
  vjp: onlyPlanned,
};

/**
 * y = x·scale + shift, plus a residual as it is or with a scale and shift (and relu) of its own, then
 * relu where it says so. Inputs: x, scale, shift [, residual [, its scale, its shift]].
 */
export const scaleShift: OpRule<ScaleShiftAttributes> = {
  infer(inputs) {
    const C = lastAxis(at(inputs, 0));
    expectChannels('scaleShift', 'scale', at(inputs, 1), C);
    expectChannels('scaleShift', 'shift', at(inputs, 2), C);
    return [like(at(inputs, 0))];
  },
  vjp: onlyPlanned,
  mayOverwrite: [0, 3],
};

function masked(inputs: readonly TensorType[], relu: boolean, from: number): void {
  const C = lastAxis(at(inputs, 0));
  if (!relu) return;
  expectChannels('batchNormBackward', 'scale', at(inputs, from), C);
  expectChannels('batchNormBackward', 'shift', at(inputs, from + 1), C);
}

/**
 * With g = dy where x·scale + shift > 0 (else 0), or g = dy without relu: dbias = Σ g, dweight =
 * Σ g·x̂, and the factors (3, C) a, slope, average of dx = a·(g - average - slope·(x - mean)), of
 * which running statistics leave a alone.
 * Inputs: dy, x, weight, mean, invStd [, scale, shift]. Outputs: dweight, dbias, factors.
 */
export const batchNormBackwardSums: OpRule<BackwardSumsAttributes> = {
  infer(inputs, { relu }) {
    masked(inputs, relu, 5);
    const C = lastAxis(at(inputs, 0));
    return [f32(C), f32(C), f32(3, C)];
  },
  vjp: onlyPlanned,
};

/**
 * `reluBackward` and the sums of a batch normalisation that reads it, in one pass.
 * Inputs: dy, y, x, weight, mean, invStd [, another part of dy]. Outputs: g, dweight, dbias, factors.
 */
export const reluBackwardSums: OpRule<RunningAttributes> = {
  infer([dy]) {
    const C = lastAxis(dy!);
    return [like(dy!), f32(C), f32(C), f32(3, C)];
  },
  vjp: onlyPlanned,
  mayOverwrite: [0, 6],
};

/** Inputs: dy, x, mean, factors [, scale, shift]. Output: dx. */
export const batchNormBackwardInput: OpRule<ReluAttributes> = {
  infer(inputs, { relu }) {
    masked(inputs, relu, 4);
    return [like(at(inputs, 0))];
  },
  vjp: onlyPlanned,
  mayOverwrite: [0],
};
