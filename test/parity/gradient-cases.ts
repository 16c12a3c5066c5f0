/**
 * Every op that has a gradient, in sizes around the vector width, with inputs that keep away from
 * what has no derivative. The table is exhaustive: a new op without a row does not compile.
 */
import type { TensorData } from '../../src/backend/backend.js';
import { elementCount } from '../../src/graph/graph.js';
import { windowPositions } from '../../src/ops/op.js';
import type { OpAttributes, OpName } from '../../src/ops/table.js';
import { dropoutWords, Random } from '../../src/random/philox.js';

export interface CaseInput {
  readonly name: string;
  readonly shape: readonly number[];
  /** `wanted`: the gradient is checked. `fixed`: has none. `state`: has none and lives on. */
  readonly role: 'wanted' | 'fixed' | 'state';
  readonly data: TensorData;
}

export interface GradientCase<Op extends OpName = OpName> {
  readonly title: string;
  readonly inputs: readonly CaseInput[];
  readonly attributes: OpAttributes[Op];
  /** Numbers summed for one value of a gradient, at most. */
  readonly reduction: number;
}

type GradientCases = {
  readonly [Op in OpName]: readonly GradientCase<Op>[] | { readonly none: string };
};

type Draw = (random: Random, index: number, count: number) => number;

/** In ±1. */
const signed: Draw = (random) => random.uniform(-1, 1);
/** In ±1, at least 1/64 from zero, where max(x, 0) has a kink. */
const awayFromZero: Draw = (random, index) =>
  (index % 2 === 0 ? 1 : -1) * random.uniform(1 / 64, 1);
/** Half of them around -1, half around 1: no channel of two or more values is almost constant. */
const twoClusters: Draw = (random, index, count) =>
  (index < count / 2 ? -1 : 1) + random.uniform(-0.5, 0.5);

function tensor(name: string, shape: readonly number[], draw = signed): CaseInput {
  const random = new Random(0, 'bench', name.charCodeAt(0));
  const count = elementCount(shape);
  const data = Float32Array.from({ length: count }, (_, i) => draw(random, i, count));
  return { name, shape, role: 'wanted', data };
}

/** No two values alike: a permutation of multiples of 1/64, so that no maximum is a tie. */
function distinct(name: string, shape: readonly number[]): CaseInput {
  const order = new Random(0, 'bench').permutation(elementCount(shape));
  const data = Float32Array.from(order, (place) => (place - order.length / 2) / 64);
  return { name, shape, role: 'wanted', data };
}

const sizesText = (sizes: readonly number[]) => sizes.join('×');

/** N, H, W, C */
const images = [
  [1, 1, 1, 1],
  [1, 1, 1, 15],
  [2, 1, 1, 17],
  [1, 5, 7, 1],
  [2, 5, 7, 3],
  [1, 5, 7, 15],
  [1, 5, 7, 16],
  [2, 5, 7, 17],
] as const;

function eachImage<Op extends OpName>(
  describe: (shape: readonly [number, number, number, number]) => Omit<GradientCase<Op>, 'title'>,
): GradientCase<Op>[] {
  return images.map((shape) => ({ title: sizesText(shape), ...describe(shape) }));
}

/** x, weight and bias, and the running statistics, which have no gradient. */
function normalised(shape: readonly [number, number, number, number], draw = signed): CaseInput[] {
  const C = shape[3];
  return [
    tensor('x', shape, draw),
    tensor('weight', [C]),
    tensor('bias', [C]),
    { ...tensor('mean', [C]), role: 'state' },
    { ...tensor('variance', [C], (random) => random.uniform(0.5, 1.5)), role: 'state' },
  ];
}

/** N, H, W, C, K, R, S, stride, padding, groups */
const convolutions = [
  [1, 1, 1, 1, 1, 1, 1, 1, 0],
  [2, 1, 1, 3, 15, 3, 3, 1, 1],
  [1, 5, 7, 15, 3, 3, 3, 1, 1],
  [2, 5, 7, 3, 17, 3, 3, 2, 1],
  [1, 5, 7, 16, 15, 1, 1, 2, 0],
  [1, 5, 7, 17, 1, 2, 3, 1, 0],
  [1, 5, 7, 1, 16, 7, 7, 2, 3],
  [2, 5, 7, 32, 32, 3, 3, 1, 1, 8],
  [1, 5, 7, 34, 17, 3, 3, 2, 1, 17],
  [1, 5, 7, 6, 34, 2, 3, 1, 0, 2],
  [1, 5, 7, 3, 3, 1, 1, 2, 0, 3],
] as const;

const convolutionCases = convolutions.map(
  ([N, H, W, C, K, R, S, stride, padding, groups = 1]): GradientCase<'conv2d'> => {
    const OH = windowPositions(H, R, stride, padding);
    const OW = windowPositions(W, S, stride, padding);
    return {
      title: `${sizesText([N, H, W, C])} to ${K}, ${R}×${S}, stride ${stride}, padding ${padding}, groups ${groups}`,
      inputs: [tensor('x', [N, H, W, C]), tensor('weight', [K, R, S, C / groups])],
      attributes: { stride, padding, groups },
      reduction: Math.max((R * S * K) / groups, N * OH * OW),
    };
  },
);

const matmulCases = [
  [1, 1, 1],
  [3, 15, 17],
  [16, 17, 3],
].flatMap(([M, inner, N]) =>
  [false, true].flatMap((transposeA) =>
    [false, true].map((transposeB): GradientCase<'matmul'> => {
      const sides = [transposeA ? ', a transposed' : '', transposeB ? ', b transposed' : ''];
      return {
        title: `${M}×${inner} by ${inner}×${N}${sides.join('')}`,
        inputs: [
          tensor('a', transposeA ? [inner!, M!] : [M!, inner!]),
          tensor('b', transposeB ? [N!, inner!] : [inner!, N!]),
        ],
        attributes: { transposeA, transposeB },
        reduction: Math.max(M!, N!),
      };
    }),
  ),
);

/** R, S, stride, padding; a 1×1 image takes only the windows that fit it. */
const windows = [
  [1, 1, 1, 0],
  [3, 3, 2, 1],
  [2, 3, 1, 0],
  [5, 7, 1, 0],
] as const;

function poolCases<Op extends 'maxPool2d' | 'avgPool2d'>(
  draw: (name: string, shape: readonly number[]) => CaseInput,
): GradientCase<Op>[] {
  return images.flatMap((shape) =>
    windows
      .filter(([R, S, , padding]) => shape[1] + 2 * padding >= R && shape[2] + 2 * padding >= S)
      .map(([kernelHeight, kernelWidth, stride, padding]) => ({
        title: `${sizesText(shape)}, ${kernelHeight}×${kernelWidth}, stride ${stride}`,
        inputs: [draw('x', shape)],
        attributes: { kernelHeight, kernelWidth, stride, padding },
        reduction: kernelHeight * kernelWidth,
      })),
  );
}

/** H, W, R, stride, padding, and whether the padding counts: last windows that are cut off. */
const partialWindows = [
  [5, 7, 2, 2, 0, false],
  [5, 7, 3, 2, 1, true],
  [6, 7, 3, 2, 1, false],
] as const;

const partialPoolCases = partialWindows.map(
  ([H, W, R, stride, padding, countIncludePad]): GradientCase<'avgPool2d'> => ({
    title: `${H}×${W}, ${R}×${R}, stride ${stride}, padding ${padding}, cut off`,
    inputs: [tensor('x', [2, H, W, 17])],
    attributes: {
      ...{ kernelHeight: R, kernelWidth: R, stride, padding },
      ...{ ceilMode: true, countIncludePad },
    },
    reduction: R * R,
  }),
);

/** H, W, OH, OW: windows that differ, overlap, repeat pixels. */
const adaptiveCases = [
  [5, 7, 2, 3],
  [2, 3, 7, 7],
  [1, 5, 1, 2],
].flatMap(([H, W, OH, OW]) =>
  [1, 17].map((C): GradientCase<'adaptiveAvgPool2d'> => ({
    title: `${H}×${W} to ${OH}×${OW}, ${C} channels`,
    inputs: [tensor('x', [2, H!, W!, C])],
    attributes: { outputHeight: OH!, outputWidth: OW! },
    reduction: 64,
  })),
);

/** C, K, stride: zeros before and behind, behind only, none. */
const shortcutCases = [
  [16, 32, 2],
  [3, 4, 2],
  [17, 17, 3],
  [1, 16, 1],
].map(([C, K, stride]): GradientCase<'identityShortcut'> => ({
  title: `${C} to ${K}, stride ${stride}`,
  inputs: [tensor('x', [2, 5, 7, C!])],
  attributes: { stride: stride!, outChannels: K! },
  reduction: 1,
}));

const crossEntropyCases = [
  [1, 1],
  [1, 3],
  [3, 15],
  [5, 16],
  [2, 17],
].map(([N, K]): GradientCase<'softmaxCrossEntropy'> => {
  const labels = Int32Array.from({ length: N! }, (_, n) => (5 * n + 2) % K!);
  return {
    title: `${N}×${K}`,
    inputs: [
      tensor('logits', [N!, K!], (random) => random.uniform(-4, 4)),
      { name: 'labels', shape: [N!], role: 'fixed', data: labels },
    ],
    attributes: {},
    reduction: K!,
  };
});

const planned = { none: 'the planner makes it, behind differentiation' };
const backwardOp = { none: 'second derivatives are not offered' };
const update = { none: 'an update is not part of what is differentiated' };

export const gradientCases: GradientCases = {
  normalizeImage: { none: 'bytes have no gradient' },
  conv2d: convolutionCases,
  packWeight: planned,
  conv2dInference: planned,
  conv2dBackwardInput: backwardOp,
  conv2dBackwardWeight: backwardOp,
  conv2dBackward: backwardOp,
  matmul: matmulCases,
  addBias: eachImage(([N, H, W, C]) => ({
    inputs: [tensor('x', [N, H, W, C]), tensor('bias', [C])],
    attributes: {},
    reduction: N * H * W,
  })),
  sumToChannels: backwardOp,
  batchNorm: eachImage((shape) => ({
    inputs: normalised(shape, twoClusters),
    attributes: { momentum: 0.1, eps: 1e-5 },
    reduction: 4 * shape[0] * shape[1] * shape[2],
  })),
  batchNormInference: eachImage((shape) => ({
    inputs: normalised(shape),
    attributes: { eps: 1e-5 },
    reduction: 4 * shape[0] * shape[1] * shape[2],
  })),
  batchNormBackward: backwardOp,
  batchNormStatistics: planned,
  batchNormFold: planned,
  scaleShift: planned,
  batchNormBackwardSums: planned,
  reluBackwardSums: planned,
  batchNormBackwardInput: planned,
  relu: eachImage((shape) => ({
    inputs: [tensor('x', shape, awayFromZero)],
    attributes: {},
    reduction: 1,
  })),
  reluBackward: backwardOp,
  add: eachImage((shape) => ({
    inputs: [tensor('a', shape), tensor('b', shape)],
    attributes: {},
    reduction: 1,
  })),
  sigmoid: eachImage((shape) => ({
    inputs: [tensor('x', shape)],
    attributes: {},
    reduction: 2,
  })),
  sigmoidBackward: backwardOp,
  scaleChannels: eachImage(([N, H, W, C]) => ({
    inputs: [tensor('x', [N, H, W, C]), tensor('s', [N, 1, 1, C])],
    attributes: {},
    reduction: H * W,
  })),
  scaleChannelsBackward: backwardOp,
  dropout: eachImage((shape) => ({
    inputs: [
      tensor('x', shape),
      { name: 'randomness', shape: [4], role: 'fixed', data: dropoutWords(3, 2 ** 32 + 5) },
    ],
    attributes: { p: 0.25, layer: 2 },
    reduction: 1,
  })),
  identityShortcut: shortcutCases,
  identityShortcutBackward: backwardOp,
  maxPool2d: poolCases(distinct),
  maxPool2dBackward: backwardOp,
  avgPool2d: [...poolCases<'avgPool2d'>(tensor), ...partialPoolCases],
  avgPool2dBackward: backwardOp,
  adaptiveAvgPool2d: adaptiveCases,
  adaptiveAvgPool2dBackward: backwardOp,
  nhwcToNchw: eachImage((shape) => ({
    inputs: [tensor('x', shape)],
    attributes: {},
    reduction: 1,
  })),
  nchwToNhwc: eachImage((shape) => ({
    inputs: [tensor('x', shape)],
    attributes: {},
    reduction: 1,
  })),
  reshape: eachImage(([N, H, W, C]) => ({
    inputs: [tensor('x', [N, H, W, C])],
    attributes: { shape: [N, H * W * C] },
    reduction: 1,
  })),
  softmaxCrossEntropy: crossEntropyCases,
  softmaxCrossEntropyBackward: backwardOp,
  fill: { none: 'it has no inputs' },
  sgd: update,
  adamW: update,
};
