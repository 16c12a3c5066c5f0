/**
 * Convolutions in every algorithm, in sizes that straddle vectors, tiles and blocks, and with what the
 * planner fuses into them.
 */
import type { TensorData } from '../../src/backend/backend.js';
import { allocateLike } from '../../src/backend/transfer.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { elementCount } from '../../src/graph/graph.js';
import { emitInto } from '../../src/ops/emit.js';
import { Random } from '../../src/random/philox.js';
import { bytes, describe, positive, signed, type Drawn, type StepCase } from './step-case.js';

type Convolution = readonly [
  ...[N: number, H: number, W: number, C: number, K: number],
  ...[R: number, stride: number, padding: number, groups?: number],
];

/** R = S. */
const convolutions: readonly Convolution[] = [
  [1, 1, 1, 1, 1, 1, 1, 0],
  [1, 1, 1, 17, 33, 3, 1, 1],
  [2, 5, 7, 3, 16, 3, 1, 1],
  [1, 5, 7, 15, 17, 3, 2, 1],
  [3, 6, 5, 16, 15, 1, 2, 0],
  [2, 9, 11, 3, 31, 7, 2, 3],
  [2, 8, 8, 32, 64, 3, 1, 1],
  [1, 7, 7, 64, 33, 3, 2, 0],
  [1, 70, 70, 2, 3, 3, 1, 1],
  [1, 19, 23, 3, 17, 11, 4, 2],
  [1, 9, 7, 16, 33, 5, 1, 2],
];

/** Tiles that are whole, cut off and alone; paddings; blocks, partial sums and splits of channels. */
const winogradConvolutions: readonly Convolution[] = [
  [1, 1, 1, 1, 1, 3, 1, 1],
  [1, 4, 4, 16, 32, 3, 1, 1],
  [2, 5, 7, 3, 17, 3, 1, 1],
  [1, 6, 9, 15, 33, 3, 1, 0],
  [1, 6, 5, 17, 1, 3, 1, 2],
  [3, 29, 26, 33, 16, 3, 1, 1],
  [1, 9, 8, 130, 257, 3, 1, 1],
  [1, 1, 1, 1, 1, 3, 2, 1],
  [1, 8, 16, 16, 32, 3, 2, 1],
  [2, 9, 14, 17, 3, 3, 2, 1],
  [3, 43, 58, 15, 33, 3, 2, 1],
  [1, 11, 9, 130, 257, 3, 2, 1],
  // Blocks whose output channels are shared among tasks.
  [1, 50, 49, 16, 257, 3, 1, 1],
  [1, 64, 64, 16, 257, 3, 2, 1],
  // Panel by panel, over several blocks of tiles and of channels: forward, backward.
  [15, 1, 5, 67, 257, 3, 1, 1],
  [15, 1, 5, 257, 67, 3, 1, 1],
  [8, 1, 9, 67, 257, 3, 2, 1],
  [8, 1, 9, 257, 67, 3, 2, 1],
];

/** Groups that share a vector, fill one, fill several; in and out alike and not; rows of several tiles. */
const groupedConvolutions: readonly Convolution[] = [
  [1, 1, 1, 2, 2, 1, 1, 0, 2],
  [2, 5, 7, 32, 32, 3, 1, 1, 8],
  [1, 5, 7, 17, 17, 3, 2, 1, 17],
  [2, 6, 5, 30, 15, 3, 1, 1, 5],
  [1, 9, 8, 24, 24, 3, 2, 1, 3],
  [1, 7, 7, 64, 64, 3, 1, 1, 2],
  [1, 6, 7, 34, 66, 3, 1, 0, 2],
  [2, 9, 7, 4, 8, 5, 3, 2, 2],
  [1, 5, 5, 6, 9, 1, 2, 0, 3],
  [1, 65, 67, 8, 8, 3, 1, 1, 2],
];

/** Whose input's gradient is added to another. */
const summedConvolutions: readonly Convolution[] = [
  [3, 6, 5, 16, 15, 1, 2, 0],
  [2, 5, 7, 35, 33, 1, 1, 0],
  [1, 7, 7, 64, 33, 3, 2, 0],
  [1, 19, 23, 3, 17, 11, 4, 2],
];

/**
 * Rounding errors of F(4×4, 3×3) beside those of a plain sum: 8.6e-7 and 1.1e-7 at 64 channels. Those of
 * stride 2 are smaller, 4.7e-7.
 */
const winogradError = 8;

export function convolutionCases(): StepCase[] {
  return [
    ...[...convolutions, ...groupedConvolutions].flatMap((sizes) => casesOfConvolution(sizes)),
    ...winogradConvolutions.flatMap((sizes) =>
      casesOfConvolution(sizes).map((stepCase) => ({
        ...stepCase,
        title: `${stepCase.title}, Winograd`,
        reduction: winogradError * stepCase.reduction,
        capabilities: { convInOrder: true },
      })),
    ),
    ...summedConvolutions.flatMap((sizes) => summedCases(sizes)),
  ];
}

type Fused = readonly [N: number, H: number, W: number, C: number, K: number, stride: number];

/** Blocks of tiles that are whole, cut off, and several; the last ones panel by panel. */
const fusedConvolutions: readonly Fused[] = [
  [1, 4, 4, 16, 32, 1],
  [2, 5, 7, 3, 17, 1],
  [3, 29, 26, 33, 16, 1],
  [2, 9, 14, 3, 17, 2],
  [3, 43, 58, 33, 16, 2],
  [15, 1, 5, 17, 257, 1],
  [8, 1, 9, 17, 257, 2],
];

/** What a convolution computes as it loads and as it stores. */
export function fusedCases(): StepCase[] {
  const capabilities = { convInOrder: true };
  return fusedConvolutions.flatMap(([N, H, W, C, K, stride]) => {
    const sizes = `${N}×${H}×${W}×${C} to ${K}, stride ${stride}`;
    const window = { stride, padding: 1 };
    const [OH, OW] = [Math.ceil(H / stride), Math.ceil(W / stride)];
    const [x, dy, weight] = [signed(N, H, W, C), signed(N, OH, OW, K), signed(K, 3, 3, C)];
    const prologue = [signed(C), signed(C)];
    const cases = [
      describe({
        op: 'conv2d',
        sizes: `${sizes} with a prologue`,
        inputs: [x, weight, ...prologue],
        attributes: window,
        reduction: winogradError * 9 * C,
      }),
      describe({
        op: 'conv2dBackwardWeight',
        sizes: `${sizes} with a prologue`,
        inputs: [x, dy, ...prologue],
        attributes: { ...window, kernelHeight: 3, kernelWidth: 3 },
        reduction: winogradError * N * OH * OW,
      }),
      convolutionAndNorm([N, H, W, C, K, stride]),
    ];
    return cases.map((stepCase) => ({ ...stepCase, capabilities }));
  });
}

/** Few channels, whose taps are taken together, and many; several panels, edges, strides. */
const normedConvolutions: readonly Convolution[] = [
  [2, 5, 7, 3, 17, 3, 1, 1],
  [1, 5, 7, 15, 35, 3, 2, 1],
  [3, 6, 5, 16, 15, 1, 2, 0],
  [2, 19, 23, 3, 64, 7, 2, 3],
  [1, 70, 70, 3, 33, 3, 1, 1],
];

/** A weight's gradient behind a batch normalisation, with a relu behind that and without. */
export function normGradientCases(): StepCase[] {
  return normedConvolutions.flatMap((sizes) =>
    [false, true].map((relu) => gradientBehindNorm(sizes, relu)),
  );
}

function gradientBehindNorm(
  [N, H, W, C, K, R, stride, padding]: Convolution,
  relu: boolean,
): StepCase {
  const { builder, tensor, data } = drawnGraph(K);
  const emit = emitInto(builder, () => 'case');
  const positions = (size: number) => Math.floor((size + 2 * padding - R) / stride) + 1;
  const output = signed(N, positions(H), positions(W), K);
  const x = tensor('input', 'x', signed(N, H, W, C));
  const inputs = [output, output, signed(K), signed(3, K), ...(relu ? [signed(K), signed(K)] : [])];
  const norm = inputs.map((drawn, i) => tensor('input', `norm${i}`, drawn));
  const dy = emit('batchNormBackwardInput', norm, { relu })[0]!;
  const window = { stride, padding, kernelHeight: R, kernelWidth: R };
  builder.output('dweight', emit('conv2dBackwardWeight', [x, dy], window)[0]!);
  return {
    title:
      `conv2dBackwardWeight ${N}×${H}×${W}×${C} to ${K}, ${R}×${R}, stride ${stride}, behind a batchNorm` +
      (relu ? ' and relu' : ''),
    graph: builder.build(),
    data,
    // Each gradient is a sum of three.
    reduction: 4 * N * positions(H) * positions(W),
    capabilities: { convAlgorithms: ['gemm'] },
  };
}

/** Parts of one image and of two, the last of one; edges, several partial sums, panel by panel. */
const partedConvolutions: readonly (readonly [...Fused, partImages: number])[] = [
  [9, 8, 4, 17, 33, 1, 1],
  [17, 8, 8, 3, 35, 1, 2],
  [9, 16, 8, 17, 35, 2, 1],
  [8, 24, 36, 5, 16, 1, 1],
  [8, 8, 4, 67, 257, 1, 1],
  [8, 8, 4, 257, 67, 1, 1],
];

/** Both gradients of a convolution behind a batch normalisation, part by part of the batch. */
export function partCases(): StepCase[] {
  return partedConvolutions.flatMap((sizes) =>
    [false, true].map((relu) => gradientsInParts(sizes, relu)),
  );
}

/**
 * With `relu`, one follows the normalisation, one lies before the convolution, and dx may take the memory of
 * the gradient that comes in.
 */
function gradientsInParts(
  [N, H, W, C, K, stride, partImages]: (typeof partedConvolutions)[number],
  relu: boolean,
): StepCase {
  const { builder, tensor, data } = drawnGraph(K);
  const emit = emitInto(builder, () => 'case');
  const output = signed(N, H / stride, W / stride, K);
  // A gradient that is about zero on average: else sums of bfloat16 err by more than their own size tells.
  const factors = { ...signed(3, K), draw: (random: Random) => random.uniform(-0.25, 0.25) };
  const inputs = [output, output, signed(K), factors, ...(relu ? [signed(K), signed(K)] : [])];
  const [given, ...rest] = inputs.map((drawn, i) => tensor('input', `norm${i}`, drawn));
  const incoming = relu ? emit('add', [given!, rest[0]!], {})[0]! : given!;
  const dy = emit('batchNormBackwardInput', [incoming, ...rest], { relu })[0]!;
  const plain = tensor('input', 'x', signed(N, H, W, C));
  const map = ['scale', 'shift'].map((name) => tensor('input', name, signed(C)));
  const attributes = { relu: true, residualRelu: false };
  const x = relu ? emit('scaleShift', [plain, ...map], attributes)[0]! : plain;
  const weight = tensor('input', 'weight', signed(K, 3, 3, C));
  const window = { stride, padding: 1 };
  const toInput = { ...window, inputHeight: H, inputWidth: W };
  const toWeight = { ...window, kernelHeight: 3, kernelWidth: 3 };
  builder.output('dx', emit('conv2dBackwardInput', [dy, weight], toInput)[0]!);
  builder.output('dweight', emit('conv2dBackwardWeight', [x, dy], toWeight)[0]!);
  const perImage = elementCount(output.shape) / N;
  return {
    title:
      `both gradients of conv2d ${N}×${H}×${W}×${C} to ${K}, stride ${stride}, in parts of ${partImages}, ` +
      `behind a batchNorm${relu ? ' and relu' : ''}`,
    graph: builder.build(),
    data,
    reduction: winogradError * Math.max(4 * 9 * K, 4 * (elementCount(output.shape) / K)),
    capabilities: { convInOrder: true, partNumbers: partImages * perImage },
  };
}

/** Images whose rows are read one by one, four at a time and whole blocks; few channels and many. */
const imageConvolutions: readonly Convolution[] = [
  [2, 5, 7, 3, 17, 3, 1, 1],
  [1, 30, 33, 3, 33, 3, 1, 1],
  [2, 19, 23, 3, 64, 7, 2, 3],
  [1, 40, 41, 3, 20, 7, 2, 3],
  [3, 6, 5, 1, 15, 1, 2, 0],
  [1, 19, 23, 3, 17, 11, 4, 2],
  [1, 9, 7, 16, 33, 5, 1, 2],
];

/** A convolution of an image's bytes, and its weight's gradient. */
export function imageCases(): StepCase[] {
  return imageConvolutions.map(([N, H, W, C, K, R, stride, padding]) => {
    const { builder, tensor, data } = drawnGraph(K);
    const emit = emitInto(builder, () => 'case');
    const positions = (size: number) => Math.floor((size + 2 * padding - R) / stride) + 1;
    const weight = tensor('input', 'weight', signed(K, R, R, C));
    const dy = tensor('input', 'dy', signed(N, positions(H), positions(W), K));
    const each = Array.from({ length: C }, (_, c) => c);
    const x = emit('normalizeImage', [tensor('input', 'image', bytes(N, H, W, C))], {
      mean: each.map((c) => 0.4 + 0.01 * c),
      std: each.map((c) => 0.2 + 0.01 * c),
    })[0]!;
    const window = { stride, padding };
    const toWeight = { ...window, kernelHeight: R, kernelWidth: R };
    builder.output('y', emit('conv2d', [x, weight], window)[0]!);
    builder.output('dweight', emit('conv2dBackwardWeight', [x, dy], toWeight)[0]!);
    return {
      title: `conv2d and its gradient, bytes of ${N}×${H}×${W}×${C} to ${K}, ${R}×${R}, stride ${stride}`,
      graph: builder.build(),
      data,
      // A normalised number is up to 3.
      reduction: 3 * Math.max(R * R * C, N * positions(H) * positions(W)),
      capabilities: { convAlgorithms: ['gemm'] },
    };
  });
}

/** Its statistics come out of the convolution where the backend joins them. */
function convolutionAndNorm([N, H, W, C, K, stride]: Fused): StepCase {
  const { builder, tensor, data } = drawnGraph(C);
  const emit = emitInto(builder, () => 'case');
  const x = tensor('input', 'x', signed(N, H, W, C));
  const weight = tensor('input', 'weight', signed(K, 3, 3, C));
  const y = emit('conv2d', [x, weight], { stride, padding: 1 })[0]!;
  const vectors = ['gamma', 'beta'].map((name) => tensor('input', name, signed(K)));
  const mean = tensor('state', 'mean', signed(K));
  const variance = tensor('state', 'variance', positive(K));
  const attributes = { momentum: 0.1, eps: 1e-5 };
  const outputs = emit('batchNorm', [y, ...vectors, mean, variance], attributes);
  outputs.slice(0, 3).forEach((value, i) => builder.output(`output${i}`, value));
  builder.update('mean', outputs[3]!);
  builder.update('variance', outputs[4]!);
  const title = `conv2d and batchNorm, ${N}×${H}×${W}×${C} to ${K}, stride ${stride}`;
  const reduction = winogradError * (9 * C + N * H * W);
  return { title, graph: builder.build(), data, reduction };
}

/** A sum that has a place of its own, and one in the memory of what it is added to. */
function summedCases([N, H, W, C, K, R, stride, padding]: Convolution): StepCase[] {
  const positions = (size: number) => Math.floor((size + 2 * padding - R) / stride) + 1;
  const [x, weight] = [signed(N, H, W, C), signed(K, R, R, C)];
  const dy = signed(N, positions(H), positions(W), K);
  const attributes = { stride, padding, inputHeight: H, inputWidth: W };
  const sizes = `${N}×${H}×${W}×${C} to ${K}, ${R}×${R}, stride ${stride}, added`;
  const reduction = R * R * K + 2;
  const apart = describe({
    op: 'conv2dBackwardInput',
    sizes,
    inputs: [dy, weight, x],
    attributes,
    reduction,
  });
  const { builder, tensor, data } = drawnGraph(C);
  const emit = emitInto(builder, () => 'case');
  const values = [dy, weight].map((drawn, i) => tensor('input', `tensor${i}`, drawn));
  const others = ['a', 'b'].map((name) => tensor('input', name, x));
  const sum = emit('add', others, {})[0]!;
  builder.output('dx', emit('conv2dBackwardInput', [...values, sum], attributes)[0]!);
  const title = `conv2dBackwardInput ${sizes} in place`;
  return [apart, { title, graph: builder.build(), data, reduction }];
}

/** A graph that draws the tensors that it begins with. */
function drawnGraph(seed: number) {
  const builder = new GraphBuilder();
  const data = new Map<string, TensorData>();
  const random = new Random(1, 'bench', seed);
  const tensor = (role: 'input' | 'state', name: string, { shape, dtype, draw }: Drawn) => {
    data.set(
      name,
      allocateLike(dtype, elementCount(shape)).map(() => draw(random)),
    );
    return builder[role](name, { shape, dtype });
  };
  return { builder, tensor, data };
}

function casesOfConvolution(convolution: Convolution): StepCase[] {
  const [N, H, W, C, K, R, stride, padding, groups = 1] = convolution;
  const positions = (size: number) => Math.floor((size + 2 * padding - R) / stride) + 1;
  const [OH, OW] = [positions(H), positions(W)];
  const inGroups = groups === 1 ? '' : `, groups ${groups}`;
  const sizes = `${N}×${H}×${W}×${C} to ${K}, ${R}×${R}, stride ${stride}, padding ${padding}${inGroups}`;
  const window = { stride, padding, groups };
  const x = signed(N, H, W, C);
  const weight = signed(K, R, R, C / groups);
  const dy = signed(N, OH, OW, K);
  return [
    describe({
      op: 'conv2d',
      sizes,
      inputs: [x, weight],
      attributes: window,
      reduction: (R * R * C) / groups,
    }),
    describe({
      op: 'conv2dBackwardInput',
      sizes,
      inputs: [dy, weight],
      attributes: { ...window, inputHeight: H, inputWidth: W },
      reduction: (R * R * K) / groups,
    }),
    describe({
      op: 'conv2dBackwardWeight',
      sizes,
      inputs: [x, dy],
      attributes: { ...window, kernelHeight: R, kernelWidth: R },
      reduction: N * OH * OW,
    }),
  ];
}
