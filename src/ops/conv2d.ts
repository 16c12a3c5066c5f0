/**
 * Two-dimensional convolution (cross-correlation, as every framework computes it), without bias.
 *
 * y(n,oh,ow,k) = Σ x(n, oh·stride - padding + r, ow·stride - padding + s, c) · weight(k,r,s,c)
 *
 * With `groups`, input and output channels are cut into so many groups side by side, each output
 * channel sees the inputs of its own group only, and weight is (K, R, S, C/groups).
 *
 * Backward saves x and weight. Sources: Krizhevsky et al. 2012 (groups); Xie et al. 2016, arXiv
 * 1611.05431 (ResNeXt).
 */
import type { TensorType } from '../graph/builder.js';
import type { NormalizeImageAttributes } from './normalize-image.js';
import {
  at,
  expectRank,
  f32,
  imageSizes,
  noSecondDerivative,
  onlyGradient,
  shapeError,
  shapeText,
  windowPositions,
  type OpRule,
} from './op.js';

/**
 * With `mean` and `std`, which the planner adds, x is an image's bytes, and becomes (x/255 - mean)/std as it is
 * loaded, forward and in the weight's pass.
 *
 * The planner may hand the forward and the weight's pass a scale and a shift (C) as last inputs: x is
 * then relu(x·scale + shift), computed as it is loaded.
 */
export type Conv2dAttributes = Partial<NormalizeImageAttributes> & {
  readonly stride: number;
  readonly padding: number;
  /** Divides C and K. Not stated: 1. */
  readonly groups?: number;
};

/** With `statisticsBlocks` there is a second output (blocks, 3, K): see `batchNormStatistics`. */
export type Conv2dForwardAttributes = Conv2dAttributes & { readonly statisticsBlocks?: number };

/** The backward ops cannot tell the sizes from their inputs: the stride rounds them. */
export type Conv2dBackwardInputAttributes = Conv2dAttributes & {
  readonly inputHeight: number; // H
  readonly inputWidth: number; // W
};
export type Conv2dBackwardWeightAttributes = Conv2dAttributes & {
  readonly kernelHeight: number; // R
  readonly kernelWidth: number; // S
  /**
   * So many inputs from the third on are those of `batchNormBackwardInput` behind its first: dy is that
   * of the normalisation's output, and the convolution's own is made as it is loaded.
   */
  readonly normInputs?: number;
};

function weightSizes(op: string, type: TensorType) {
  expectRank(op, 'weight', type, 4);
  const [K, R, S, C] = type.shape as [number, number, number, number];
  return { K, R, S, C };
}

export const conv2d: OpRule<Conv2dForwardAttributes> = {
  infer([x, weight], { stride, padding, groups = 1, statisticsBlocks }) {
    const { N, H, W, C } = imageSizes('conv2d', 'input', x!);
    const { K, R, S, C: perGroup } = weightSizes('conv2d', weight!);
    const shapes = `(input ${shapeText(x!.shape)}, weight ${shapeText(weight!.shape)})`;
    expectGroups(C, K, groups, shapes);
    const expected = perGroup * groups;
    if (C !== expected) {
      throw shapeError('conv2d', `input has ${C} channels, weight expects ${expected} ${shapes}`);
    }
    const OH = windowPositions(H, R, stride, padding);
    const OW = windowPositions(W, S, stride, padding);
    if (OH < 1 || OW < 1) {
      throw shapeError(
        'conv2d',
        `the ${R}×${S} kernel is larger than the padded input ` +
          `${H + 2 * padding}×${W + 2 * padding} ${shapes}; use larger images`,
      );
    }
    const y = f32(N, OH, OW, K);
    return statisticsBlocks === undefined ? [y] : [y, f32(statisticsBlocks, 3, K)];
  },
  vjp(context) {
    const { stride, padding, groups } = context.attributes;
    const window = { stride, padding, ...(groups === undefined ? {} : { groups }) };
    const x = at(context.inputs, 0);
    const weight = at(context.inputs, 1);
    const dy = onlyGradient(context);
    const dx = context.wants(0)
      ? context.emit('conv2dBackwardInput', [dy, weight], {
          ...window,
          inputHeight: at(x.shape, 1),
          inputWidth: at(x.shape, 2),
        })[0]!
      : null;
    const dweight = context.wants(1)
      ? context.emit('conv2dBackwardWeight', [x, dy], {
          ...window,
          kernelHeight: at(weight.shape, 1),
          kernelWidth: at(weight.shape, 2),
        })[0]!
      : null;
    return [dx, dweight];
  },
  flops: ([, weight], [y]) => 2 * product(y!) * perOutput(weight!),
};

/** From dy and the weight; a third input that is a gradient that is added to it. */
export const conv2dBackwardInput: OpRule<Conv2dBackwardInputAttributes> = {
  infer([dy, weight], { inputHeight, inputWidth, groups = 1 }) {
    return [f32(at(dy!.shape, 0), inputHeight, inputWidth, at(weight!.shape, 3) * groups)];
  },
  vjp: noSecondDerivative,
  flops: ([dy, weight]) => 2 * product(dy!) * perOutput(weight!),
  mayOverwrite: [2],
};

export const conv2dBackwardWeight: OpRule<Conv2dBackwardWeightAttributes> = {
  infer([x, dy], { kernelHeight, kernelWidth, groups = 1 }) {
    return [f32(at(dy!.shape, 3), kernelHeight, kernelWidth, at(x!.shape, 3) / groups)];
  },
  vjp: noSecondDerivative,
  flops: ([, dy], [dweight]) => 2 * product(dy!) * perOutput(dweight!),
};

/**
 * Both gradients of a convolution with a batch normalisation behind it, `partImages` images at a time: of
 * each part the convolution's own dy is made, as `batchNormBackwardInput` does, and serves both.
 *
 * Inputs: x, weight, dy of the normalisation's output, the `normInputs` others of batchNormBackwardInput,
 * and what the planner hands the weight's pass. Outputs: dx, dweight, and room for a part's dy.
 */
export type Conv2dBackwardAttributes = Conv2dBackwardInputAttributes &
  Conv2dBackwardWeightAttributes & { readonly normInputs: number; readonly partImages: number };

export const conv2dBackward: OpRule<Conv2dBackwardAttributes> = {
  infer([x, weight, dy], { partImages }) {
    return [x!, weight!, f32(partImages, ...dy!.shape.slice(1))];
  },
  vjp: noSecondDerivative,
  flops: ([, weight, dy]) => 4 * product(dy!) * perOutput(weight!),
  mayOverwrite: [2, 3],
};

function expectGroups(C: number, K: number, groups: number, shapes: string): void {
  if (C % groups === 0 && K % groups === 0) return;
  throw shapeError(
    'conv2d',
    `${groups} groups do not divide ${C} input and ${K} output channels ${shapes}; ` +
      'take a number of groups that divides both',
  );
}

function product(type: TensorType): number {
  return type.shape.reduce((count, size) => count * size, 1);
}

/** Multiply-adds that one output value costs: R·S·C/groups. */
function perOutput(weight: TensorType): number {
  return product(weight) / at(weight.shape, 0);
}
