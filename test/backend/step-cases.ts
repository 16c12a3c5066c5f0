/**
 * Small graphs that together hold every kind of step, in sizes that straddle vectors and tiles,
 * with data: what every backend must compute as the reference does.
 */
import type { Capabilities, TensorData } from '../../src/backend/backend.js';
import { allocateLike } from '../../src/backend/transfer.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { elementCount, type DType, type Graph, type Value } from '../../src/graph/graph.js';
import { emitInto } from '../../src/ops/emit.js';
import type { OpAttributes, OpName } from '../../src/ops/table.js';
import { Random } from '../../src/random/philox.js';

export interface StepCase {
  readonly title: string;
  readonly graph: Graph;
  /** Of every input and state entry, by name. */
  readonly data: ReadonlyMap<string, TensorData>;
  /** Numbers summed for one value, at most: rounding errors grow with it. */
  readonly reduction: number;
  /** What the plan is compiled for, where it is not what the backend says. */
  readonly capabilities?: Partial<Capabilities>;
}

/** A tensor to be drawn: shape and values. */
interface Drawn {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly draw: (random: Random) => number;
}

const signed = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'f32',
  draw: (random) => random.uniform(-1, 1),
});
/** For variances, their inverse roots and second moments. */
const positive = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'f32',
  draw: (random) => random.uniform(0.5, 1.5),
});
/** Few different values: windows with several largest ones. */
const coarse = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'f32',
  draw: (random) => random.below(3) - 1,
});
const bytes = (...shape: number[]): Drawn => ({
  shape,
  dtype: 'u8',
  draw: (random) => random.below(256),
});
const labels = (N: number, classes: number): Drawn => ({
  shape: [N],
  dtype: 'i32',
  draw: (random) => random.below(classes),
});

interface Description<Op extends OpName> {
  readonly op: Op;
  readonly sizes: string;
  readonly inputs: readonly Drawn[];
  readonly attributes: OpAttributes[Op];
  readonly reduction?: number;
  /** Output index → index of the input, a state entry, that it replaces. */
  readonly replaces?: Readonly<Record<number, number>>;
}

function describe<Op extends OpName>(description: Description<Op>): StepCase {
  const { op, sizes, inputs, attributes, reduction = 1, replaces = {} } = description;
  const builder = new GraphBuilder();
  const random = new Random(0, 'bench', inputs.length);
  const data = new Map<string, TensorData>();
  const values = inputs.map(({ shape, dtype, draw }, i): Value => {
    const name = `tensor${i}`;
    const drawn = allocateLike(dtype, elementCount(shape));
    data.set(
      name,
      drawn.map(() => draw(random)),
    );
    const type = { shape, dtype };
    const isState = Object.values(replaces).includes(i);
    return isState ? builder.state(name, type) : builder.input(name, type);
  });
  const outputs = emitInto(builder, () => 'case')(op, values, attributes);
  outputs.forEach((value, i) => {
    const state = replaces[i];
    if (state === undefined) builder.output(`output${i}`, value);
    else builder.update(`tensor${state}`, value);
  });
  return { title: `${op} ${sizes}`, graph: builder.build(), data, reduction };
}

type Convolution = readonly [
  ...[N: number, H: number, W: number, C: number, K: number],
  ...[R: number, stride: number, padding: number],
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
];

/** Rounding errors of F(4×4, 3×3) beside those of a plain sum: 8.6e-7 and 1.1e-7 at 64 channels. */
const winogradError = 8;

function convolutionCases(): StepCase[] {
  return [
    ...convolutions.flatMap((sizes) => casesOfConvolution(sizes)),
    ...winogradConvolutions.flatMap((sizes) =>
      casesOfConvolution(sizes).map((stepCase) => ({
        ...stepCase,
        title: `${stepCase.title}, Winograd`,
        reduction: winogradError * stepCase.reduction,
        capabilities: { convInOrder: true },
      })),
    ),
  ];
}

/** N, H, W, C, K: blocks of tiles that are whole, cut off, and several. */
const fusedConvolutions = [
  [1, 4, 4, 16, 32],
  [2, 5, 7, 3, 17],
  [3, 29, 26, 33, 16],
] as const;

/** What a convolution computes as it loads and as it stores. */
function fusedCases(): StepCase[] {
  const capabilities = { convInOrder: true };
  return fusedConvolutions.flatMap(([N, H, W, C, K]) => {
    const sizes = `${N}×${H}×${W}×${C} to ${K}`;
    const window = { stride: 1, padding: 1 };
    const [x, dy, weight] = [signed(N, H, W, C), signed(N, H, W, K), signed(K, 3, 3, C)];
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
        reduction: winogradError * N * H * W,
      }),
      convolutionAndNorm([N, H, W, C, K]),
    ];
    return cases.map((stepCase) => ({ ...stepCase, capabilities }));
  });
}

/** Its statistics come out of the convolution where the backend joins them. */
function convolutionAndNorm([N, H, W, C, K]: readonly [number, number, number, number, number]) {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => 'case');
  const data = new Map<string, TensorData>();
  const random = new Random(1, 'bench', C);
  const tensor = (role: 'input' | 'state', name: string, { shape, dtype, draw }: Drawn) => {
    data.set(
      name,
      allocateLike(dtype, elementCount(shape)).map(() => draw(random)),
    );
    return builder[role](name, { shape, dtype });
  };
  const x = tensor('input', 'x', signed(N, H, W, C));
  const weight = tensor('input', 'weight', signed(K, 3, 3, C));
  const y = emit('conv2d', [x, weight], { stride: 1, padding: 1 })[0]!;
  const vectors = ['gamma', 'beta'].map((name) => tensor('input', name, signed(K)));
  const mean = tensor('state', 'mean', signed(K));
  const variance = tensor('state', 'variance', positive(K));
  const attributes = { momentum: 0.1, eps: 1e-5 };
  const outputs = emit('batchNorm', [y, ...vectors, mean, variance], attributes);
  outputs.slice(0, 3).forEach((value, i) => builder.output(`output${i}`, value));
  builder.update('mean', outputs[3]!);
  builder.update('variance', outputs[4]!);
  const title = `conv2d and batchNorm, ${N}×${H}×${W}×${C} to ${K}`;
  return { title, graph: builder.build(), data, reduction: winogradError * (9 * C + N * H * W) };
}

function casesOfConvolution([N, H, W, C, K, R, stride, padding]: Convolution): StepCase[] {
  const positions = (size: number) => Math.floor((size + 2 * padding - R) / stride) + 1;
  const [OH, OW] = [positions(H), positions(W)];
  const sizes = `${N}×${H}×${W}×${C} to ${K}, ${R}×${R}, stride ${stride}, padding ${padding}`;
  const x = signed(N, H, W, C);
  const weight = signed(K, R, R, C);
  const dy = signed(N, OH, OW, K);
  return [
    describe({
      op: 'conv2d',
      sizes,
      inputs: [x, weight],
      attributes: { stride, padding },
      reduction: R * R * C,
    }),
    describe({
      op: 'conv2dBackwardInput',
      sizes,
      inputs: [dy, weight],
      attributes: { stride, padding, inputHeight: H, inputWidth: W },
      reduction: R * R * K,
    }),
    describe({
      op: 'conv2dBackwardWeight',
      sizes,
      inputs: [x, dy],
      attributes: { stride, padding, kernelHeight: R, kernelWidth: R },
      reduction: N * OH * OW,
    }),
  ];
}

const none = {};
const channelCounts = [1, 3, 15, 16, 17];

function channelCases(): StepCase[] {
  return channelCounts.flatMap((C) => {
    const [N, H, W] = C === 1 ? [1, 1, 1] : [2, 5, 7];
    const M = N * H * W;
    const x = signed(N, H, W, C);
    const vector = signed(C);
    const sizes = `${N}×${H}×${W}×${C}`;
    const rows = { sizes, reduction: M };
    const window = { kernelHeight: 2, kernelWidth: 3, stride: 2, padding: 1 };
    const small = H < 3;
    const pool = small ? { ...window, kernelHeight: 1, kernelWidth: 1, padding: 0 } : window;
    const positions = (size: number, kernel: number) =>
      Math.floor((size + 2 * pool.padding - kernel) / pool.stride) + 1;
    const pooled = [N, positions(H, pool.kernelHeight), positions(W, pool.kernelWidth), C] as const;
    return [
      describe({
        op: 'normalizeImage',
        sizes,
        inputs: [bytes(N, H, W, C)],
        attributes: { mean: Array<number>(C).fill(0.485), std: Array<number>(C).fill(0.229) },
      }),
      describe({ op: 'addBias', sizes, inputs: [x, vector], attributes: none }),
      describe({ op: 'sumToChannels', ...rows, inputs: [x], attributes: none }),
      describe({
        op: 'batchNorm',
        sizes,
        // A value alone is its mean: x·scale and shift, 1/√eps large, cancel.
        reduction: M === 1 ? 2 / Math.sqrt(1e-5) : M,
        inputs: [x, vector, vector, vector, positive(C)],
        attributes: { momentum: 0.1, eps: 1e-5 },
        replaces: { 3: 3, 4: 4 },
      }),
      describe({
        op: 'batchNormInference',
        sizes,
        inputs: [x, vector, vector, vector, positive(C)],
        attributes: { eps: 1e-5 },
        reduction: 4,
      }),
      describe({
        op: 'batchNormBackward',
        ...rows,
        inputs: [x, x, vector, vector, positive(C)],
        attributes: none,
      }),
      describe({
        op: 'batchNormFold',
        sizes,
        inputs: [vector, vector, vector, positive(C)],
        attributes: { eps: 1e-5 },
      }),
      ...[[], [x], [x, vector, vector]].map((residual) =>
        describe({
          op: 'scaleShift',
          sizes: `${sizes}, ${residual.length} for the residual`,
          inputs: [x, vector, vector, ...residual],
          attributes: { relu: residual.length !== 1 },
          reduction: 3,
        }),
      ),
      ...[false, true].flatMap((relu) => {
        const mask = relu ? [vector, vector] : [];
        return [
          describe({
            op: 'batchNormBackwardSums',
            ...rows,
            sizes: `${sizes}, relu ${relu}`,
            inputs: [x, x, vector, vector, positive(C), ...mask],
            attributes: { relu },
          }),
          describe({
            op: 'batchNormBackwardInput',
            sizes: `${sizes}, relu ${relu}`,
            inputs: [x, x, vector, signed(3, C), ...mask],
            attributes: { relu },
            reduction: 3,
          }),
        ];
      }),
      describe({ op: 'relu', sizes, inputs: [x], attributes: none }),
      describe({ op: 'reluBackward', sizes, inputs: [x, x], attributes: none }),
      describe({ op: 'add', sizes, inputs: [x, x], attributes: none }),
      describe({ op: 'maxPool2d', sizes, inputs: [coarse(N, H, W, C)], attributes: pool }),
      describe({
        op: 'maxPool2dBackward',
        sizes,
        inputs: [signed(...pooled), coarse(N, H, W, C)],
        attributes: pool,
        reduction: 4,
      }),
      describe({ op: 'avgPool2d', sizes, inputs: [x], attributes: pool, reduction: 6 }),
      describe({
        op: 'avgPool2dBackward',
        sizes,
        inputs: [signed(...pooled)],
        attributes: { ...pool, inputHeight: H, inputWidth: W },
        reduction: 6,
      }),
      describe({ op: 'nhwcToNchw', sizes, inputs: [x], attributes: none }),
      describe({ op: 'nchwToNhwc', sizes, inputs: [x], attributes: none }),
      describe({ op: 'fill', sizes, inputs: [], attributes: { shape: [N, C], value: 0.1 } }),
    ];
  });
}

function matrixCases(): StepCase[] {
  return [1, 3, 15, 17, 33].flatMap((K) => {
    const [M, inner] = [K === 1 ? 1 : 5, K + 2];
    const sizes = `${M}×${inner} by ${inner}×${K}`;
    const logits = signed(M, K);
    const products = [false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) =>
        describe({
          op: 'matmul',
          sizes: `${sizes}${transposeA ? ', a transposed' : ''}${transposeB ? ', b transposed' : ''}`,
          inputs: [
            transposeA ? signed(inner, M) : signed(M, inner),
            transposeB ? signed(K, inner) : signed(inner, K),
          ],
          attributes: { transposeA, transposeB },
          reduction: inner,
        }),
      ),
    );
    return [
      ...products,
      describe({
        op: 'softmaxCrossEntropy',
        sizes: `${M}×${K}`,
        inputs: [logits, labels(M, K)],
        attributes: none,
        reduction: M * K,
      }),
      describe({
        op: 'softmaxCrossEntropyBackward',
        sizes: `${M}×${K}`,
        inputs: [positive(1), logits, labels(M, K)],
        attributes: none,
        reduction: K,
      }),
    ];
  });
}

function optimizerCases(): StepCase[] {
  const hyper: Drawn = { ...positive(3), draw: () => 0.1 };
  return [1, 17, 100].flatMap((n) => {
    const sizes = `of ${n}`;
    const [value, gradient] = [signed(n), signed(n)];
    return [
      describe({
        op: 'sgd',
        sizes,
        inputs: [value, gradient, hyper],
        attributes: { momentum: 0, weightDecay: 0, nesterov: false },
        reduction: 4,
        replaces: { 0: 0 },
      }),
      ...[false, true].map((nesterov) =>
        describe({
          op: 'sgd',
          sizes: `${sizes}, momentum${nesterov ? ', nesterov' : ''}`,
          inputs: [value, gradient, hyper, signed(n)],
          attributes: { momentum: 0.9, weightDecay: 1e-2, nesterov },
          reduction: 4,
          replaces: { 0: 0, 1: 3 },
        }),
      ),
      describe({
        op: 'adamW',
        sizes,
        inputs: [value, gradient, hyper, signed(n), positive(n)],
        attributes: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 1e-2 },
        reduction: 8,
        replaces: { 0: 0, 1: 3, 2: 4 },
      }),
    ];
  });
}

export function stepCases(): StepCase[] {
  return [
    ...convolutionCases(),
    ...fusedCases(),
    ...channelCases(),
    ...matrixCases(),
    ...optimizerCases(),
  ];
}
