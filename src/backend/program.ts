/**
 * A Plan as the flat list of 32-bit integers that native/executor runs, natively and as WASM.
 *
 * Each step is [opcode, number of arguments, arguments…]; an opcode is a kind's number, plus the number
 * of all kinds where the step's maps are bfloat16; a slot is its offset in units of 64
 * bytes, -1 for none; a float is its bits. native/executor/program.h has the same order of kinds,
 * and each kernel reads its arguments in the order of its row here.
 */
import { PlusxError } from '../errors.js';
import type { Capabilities } from './backend.js';
import { elementCount } from '../graph/graph.js';
import { tensorsOf } from '../plan/cost.js';
import {
  slotAlignment,
  type ConvAlgorithm,
  type ConvCut,
  type Normalization,
  type Plan,
  type Slot,
  type Step,
  type StepKind,
  type StepOf,
} from '../plan/plan.js';

type Argument = Slot | null | number | { readonly float: number };

const float = (value: number) => ({ float: value });

const rows: { readonly [Kind in StepKind]: (step: StepOf<Kind>) => readonly Argument[] } = {
  normalizeImage: ({ x, y, mean, std }) => {
    const C = mean.length;
    return [x, y, elementCount(x.shape) / C, ...normalization({ mean, std })];
  },
  conv2d: (step) => [
    step.x,
    step.weight,
    step.y,
    step.workspace,
    step.scale,
    step.shift,
    step.statistics,
    ...convolution(step.x, step.y, step.weight, step),
    ...normalization(step),
  ],
  packWeight: ({ weight, scale, packed, transformed, stride }) => {
    const [K, R, S, C] = weight.shape as [number, number, number, number];
    return [weight, scale, packed, transformed ? stride : 0, K, R * S, C];
  },
  conv2dInference: (step) => [
    step.x,
    step.weight,
    step.shift,
    step.residual,
    step.y,
    Number(step.transformed),
    Number(step.relu),
    ...convolution(step.x, step.y, step.weight, step),
    ...normalization(step),
  ],
  conv2dBackwardInput: (step) => [
    step.dy,
    step.weight,
    step.other,
    step.dx,
    step.workspace,
    Number(step.weightPacked),
    ...convolution(step.dx, step.dy, step.weight, step),
  ],
  conv2dBackwardWeight: (step) => [
    step.x,
    step.dy,
    step.dweight,
    step.workspace,
    step.scale,
    step.shift,
    Number(step.accumulate),
    ...convolution(step.x, step.dy, step.dweight, step),
    step.normX,
    step.normMean,
    step.normFactors,
    step.normScale,
    step.normShift,
    ...normalization(step),
  ],
  matmul: ({ a, b, y, transposeA, transposeB }) => [
    a,
    b,
    y,
    ...y.shape,
    a.shape[transposeA ? 0 : 1]!,
    Number(transposeA),
    Number(transposeB),
  ],
  addBias: ({ x, bias, y }) => [x, bias, y, ...rowsAndChannels(x)],
  sumToChannels: ({ dy, dbias }) => [dy, dbias, ...rowsAndChannels(dy)],
  batchNormStatistics: (s) => [
    s.x,
    s.partials,
    s.weight,
    s.bias,
    s.runningMean,
    s.runningVar,
    s.scale,
    s.shift,
    s.mean,
    s.invStd,
    ...rowsAndChannels(s.x),
    s.partials?.shape[0] ?? 0,
    float(s.momentum),
    float(s.eps),
  ],
  batchNormFold: (s) => [
    s.weight,
    s.bias,
    s.runningMean,
    s.runningVar,
    s.scale,
    s.shift,
    elementCount(s.scale.shape),
    float(s.eps),
  ],
  scaleShift: (s) => [
    s.x,
    s.scale,
    s.shift,
    s.residual,
    s.residualScale,
    s.residualShift,
    s.y,
    ...rowsAndChannels(s.x),
    Number(s.relu),
    Number(s.residualRelu),
  ],
  batchNormBackwardSums: (s) => [
    s.dy,
    s.x,
    s.weight,
    s.mean,
    s.invStd,
    s.scale,
    s.shift,
    ...normSums(s),
  ],
  reluBackwardSums: (s) => [
    s.dy,
    s.y,
    s.other,
    s.x,
    s.weight,
    s.mean,
    s.invStd,
    s.g,
    ...normSums(s),
  ],
  batchNormBackwardInput: (s) => [
    s.dy,
    s.x,
    s.mean,
    s.factors,
    s.scale,
    s.shift,
    s.dx,
    ...rowsAndChannels(s.x),
    Number(s.cached),
  ],
  relu: ({ x, y }) => [x, y, elementCount(x.shape)],
  reluBackward: ({ dy, y, other, dx }) => [dy, y, other, dx, elementCount(dy.shape)],
  add: ({ a, b, y }) => [a, b, y, elementCount(y.shape)],
  sigmoid: ({ x, y }) => [x, y, elementCount(x.shape)],
  sigmoidBackward: ({ dy, y, dx }) => [dy, y, dx, elementCount(dy.shape)],
  scaleChannels: ({ x, s, y }) => [x, s, y, ...imageSizes(x)],
  scaleChannelsBackward: ({ dy, x, ds }) => [dy, x, ds, ...imageSizes(x)],
  dropout: ({ x, randomness, y, p, layer }) => [
    x,
    randomness,
    y,
    elementCount(x.shape),
    layer,
    (p * 2 ** 32) | 0,
    float(1 / (1 - p)),
  ],
  identityShortcut: (s) => [s.x, s.y, ...shortcut(s.x, s.y, s.stride)],
  identityShortcutBackward: (s) => [s.dy, s.dx, ...shortcut(s.dx, s.dy, s.stride)],
  maxPool2d: (s) => [s.x, s.y, ...pooling(s.x, s.y, s)],
  maxPool2dBackward: (s) => [s.dy, s.x, s.dx, ...pooling(s.dx, s.dy, s)],
  avgPool2d: (s) => [
    s.x,
    s.y,
    ...pooling(s.x, s.y, s),
    Number(s.countIncludePad),
    Number(s.y.dtype === 'f32'),
  ],
  avgPool2dBackward: (s) => [
    s.dy,
    s.dx,
    ...pooling(s.dx, s.dy, s),
    Number(s.countIncludePad),
    Number(s.dy.dtype === 'f32'),
  ],
  adaptiveAvgPool2d: ({ x, y }) => [x, y, ...resizing(x, y)],
  adaptiveAvgPool2dBackward: ({ dy, dx }) => [dy, dx, ...resizing(dx, dy)],
  nhwcToNchw: ({ x, y }) => {
    const [N, H, W, C] = x.shape as [number, number, number, number];
    return [x, y, N, H * W, C];
  },
  nchwToNhwc: ({ x, y }) => {
    const [N, C, H, W] = x.shape as [number, number, number, number];
    return [x, y, N, C, H * W];
  },
  softmaxCrossEntropy: ({ logits, labels, loss }) => [logits, labels, loss, ...logits.shape],
  softmaxCrossEntropyBackward: ({ dloss, logits, labels, dlogits }) => [
    dloss,
    logits,
    labels,
    dlogits,
    ...logits.shape,
  ],
  fill: ({ y, value }) => [y, elementCount(y.shape), float(value)],
  sgd: (s) => [
    s.parameter,
    s.dparameter,
    s.velocity,
    s.hyper,
    elementCount(s.parameter.shape),
    float(s.momentum),
    float(s.weightDecay),
    Number(s.nesterov),
  ],
  adamW: (s) => [
    s.parameter,
    s.dparameter,
    s.m,
    s.v,
    s.hyper,
    elementCount(s.parameter.shape),
    float(s.beta1),
    float(s.beta2),
    float(1 - s.beta1),
    float(1 - s.beta2),
    float(s.eps),
    float(s.weightDecay),
  ],
};

/** Rows of a register tile (`kTilePixels`), by instruction set. */
const tileRows: Readonly<Record<string, number>> = { 'avx512-bf16': 14, avx512: 14, wasm128: 5 };

/** What the C++ kernels can, with this instruction set. */
export function capabilitiesOf(instructionSet: string): Capabilities {
  return { ...kernelCapabilities, tileRows: tileRows[instructionSet] ?? 6 };
}

/** What the C++ kernels can, on every instruction set. */
export const kernelCapabilities: Capabilities = {
  convAlgorithms: ['winograd', 'gemm', 'grouped'],
  fusions: {
    convPrologue: ['winograd'],
    convStatistics: ['winograd'],
    convGradientSum: ['gemm'],
    convNormGradient: ['gemm'],
    convNormalization: ['gemm'],
    convGradients: ['winograd'],
    convInference: true,
  },
  partNumbers: 2 ** 21,
};

/** All kinds, in the order of their opcodes. */
export const stepKinds: readonly StepKind[] = Object.keys(rows) as StepKind[];

/** Encodes all steps of a plan. */
export function encodeProgram(plan: Plan): Int32Array {
  const words = plan.steps.flatMap((step) => {
    const row = rows[step.kind] as (step: StepOf<never>) => readonly Argument[];
    const encoded = row(step as never).map(word);
    return [opcodeOf(step), encoded.length, ...encoded];
  });
  return Int32Array.from(words);
}

/** A kind is there twice: with maps of float32, and, behind all kinds, with maps of bfloat16. */
function opcodeOf(step: Step): number {
  const kind = stepKinds.indexOf(step.kind);
  return isOnBfloat16(step) ? stepKinds.length + kind : kind;
}

/** All maps of a step are of one type, but for averages, which may be behind the last map. */
function isOnBfloat16(step: Step): boolean {
  if (step.kind === 'avgPool2d') return step.x.dtype === 'bf16';
  if (step.kind === 'avgPool2dBackward') return step.dx.dtype === 'bf16';
  return Object.values(tensorsOf(step)).some(({ dtype }) => dtype === 'bf16');
}

/** Where a step begins in a program. */
export function stepStart(program: Int32Array, step: number): number {
  let start = 0;
  for (let i = 0; i < step; i++) start += 2 + program[start + 1]!;
  return start;
}

const bits = new DataView(new ArrayBuffer(4));

function word(argument: Argument): number {
  if (argument === null) return -1;
  if (typeof argument === 'number') {
    if (argument === (argument | 0)) return argument;
    throw new PlusxError(
      'too-large',
      `a tensor of ${argument} elements is more than this engine addresses (2^31 - 1); ` +
        'use a smaller batch or smaller images',
    );
  }
  if ('float' in argument) {
    bits.setFloat32(0, argument.float);
    return bits.getInt32(0);
  }
  return argument.offset / slotAlignment;
}

function rowsAndChannels(x: Slot): [number, number] {
  const C = x.shape.at(-1)!;
  return [elementCount(x.shape) / C, C];
}

function normSums(step: StepOf<'batchNormBackwardSums' | 'reluBackwardSums'>): Argument[] {
  const { dweight, dbias, factors, x, running } = step;
  return [dweight, dbias, factors, ...rowsAndChannels(x), Number(running)];
}

/** What the kernels' scratch memory can hold. */
const maxTaps = 1024;
const maxReduction = 50_000;

/** The C++ engines' own algorithms, as numbers. */
const algorithms: readonly ConvAlgorithm[] = ['gemm', 'winograd', 'grouped'];

interface Convolution {
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
  readonly algorithm: ConvAlgorithm;
  readonly cut: ConvCut;
}

function convolution(x: Slot, y: Slot, weight: Slot, step: Convolution): number[] {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW, K] = y.shape as [number, number, number, number];
  const [, R, S] = weight.shape as [number, number, number, number];
  const { stride, padding, groups, cut } = step;
  const channels = Math.max(C, K) / groups;
  if (R * S > maxTaps || R * S * channels > maxReduction) {
    throw new PlusxError(
      'too-large',
      `conv2d: a filter of ${R}×${S}×${channels} is more than this engine computes ` +
        `(${maxTaps} taps, ${maxReduction} values)`,
    );
  }
  const algorithm = algorithms.indexOf(step.algorithm);
  const { partials, blockTiles, blockChannels, splits } = cut;
  return [
    ...[N, H, W, C, K, R, S, OH, OW, stride, padding, groups],
    ...[algorithm, partials, blockTiles, blockChannels, splits],
  ];
}

/** Of how many channels, and of each: none where x is no bytes. */
function normalization({ mean, std }: Normalization): Argument[] {
  return [mean?.length ?? 0, ...(mean ?? []).map(float), ...(std ?? []).map(float)];
}

/** N, H·W, C */
function imageSizes({ shape }: Slot): [number, number, number] {
  const [N, H, W, C] = shape as [number, number, number, number];
  return [N, H * W, C];
}

function shortcut(x: Slot, y: Slot, stride: number): number[] {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW, K] = y.shape as [number, number, number, number];
  return [N, H, W, C, OH, OW, K, stride, Math.floor((K - C) / 2)];
}

function resizing(x: Slot, y: Slot): number[] {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW] = y.shape as [number, number, number, number];
  return [N, H, W, C, OH, OW];
}

function pooling(
  x: Slot,
  y: Slot,
  window: { kernelHeight: number; kernelWidth: number; stride: number; padding: number },
): number[] {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW] = y.shape as [number, number, number, number];
  const { kernelHeight, kernelWidth, stride, padding } = window;
  return [N, H, W, C, OH, OW, kernelHeight, kernelWidth, stride, padding];
}
