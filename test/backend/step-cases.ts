/**
 * Small graphs that together hold every kind of step, in sizes that straddle vectors and tiles,
 * with data: what every backend must compute as the reference does.
 */
import { inBfloat16 } from './bfloat16-cases.js';
import { blockCases } from './block-cases.js';
import {
  convolutionCases,
  fusedCases,
  imageCases,
  normGradientCases,
  partCases,
} from './convolution-cases.js';
import { inferenceCases } from './inference-cases.js';
import {
  bytes,
  coarse,
  describe,
  labels,
  positive,
  signed,
  type Drawn,
  type StepCase,
} from './step-case.js';

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
      ...[[], [x], [x, vector, vector]].flatMap((residual) =>
        (residual.length === 3 ? [false, true] : [false]).map((residualRelu) =>
          describe({
            op: 'scaleShift',
            sizes: `${sizes}, ${residual.length} for the residual, its relu ${residualRelu}`,
            inputs: [x, vector, vector, ...residual],
            attributes: { relu: residual.length !== 1, residualRelu },
            reduction: 3,
          }),
        ),
      ),
      ...[false, true].flatMap((relu) => {
        const mask = relu ? [vector, vector] : [];
        return [
          ...[false, true].map((running) =>
            describe({
              op: 'batchNormBackwardSums',
              ...rows,
              sizes: `${sizes}, relu ${relu}, running ${running}`,
              inputs: [x, x, vector, vector, positive(C), ...mask],
              attributes: { relu, running },
            }),
          ),
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
      ...[
        [x, x],
        [x, x, x],
      ].map((inputs) =>
        describe({
          op: 'reluBackward',
          sizes: `${sizes}, ${inputs.length - 1} parts`,
          inputs,
          attributes: none,
        }),
      ),
      ...[[], [x]].flatMap((other) =>
        [false, true].map((running) =>
          describe({
            op: 'reluBackwardSums',
            ...rows,
            sizes: `${sizes}, ${1 + other.length} parts, running ${running}`,
            inputs: [x, x, x, vector, vector, positive(C), ...other],
            attributes: { running },
          }),
        ),
      ),
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
  const onMaps = [
    ...[
      convolutionCases(),
      fusedCases(),
      normGradientCases(),
      partCases(),
      imageCases(),
      channelCases(),
      blockCases(),
    ].flat(),
  ];
  return [
    ...onMaps,
    ...inferenceCases(),
    ...matrixCases(),
    ...optimizerCases(),
    ...inBfloat16(onMaps),
  ];
}
