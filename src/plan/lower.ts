/**
 * From ops to steps: one row an op, exhaustive, so that a new op without a step does not compile.
 */
import type { Slot, Step, StepOf } from './plan.js';
import type { ConvChoice, ConvPass } from './algorithms.js';
import type { Conv2dAttributes } from '../ops/conv2d.js';
import type { AvgPoolAttributes } from '../ops/pool.js';
import type { OpAttributes, OpName } from '../ops/table.js';

/** What a row sees: where the node's tensors lie, and what was decided about it. */
export interface LowerContext<Op extends OpName> {
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  readonly attributes: OpAttributes[Op];
  /** For convolutions only. */
  readonly choice: ConvChoice | null;
  readonly workspace: Slot | null;
}

/** How a pass of a convolution is computed, and where its scratch lies. */
export type ConvPlace = Pick<LowerContext<OpName>, 'choice' | 'workspace'>;

/** A step with its floating-point operations. */
export interface LoweredStep {
  readonly step: Step;
  readonly flops: number;
}

/**
 * `reshape` lowers to nothing: its output is its input's memory. `conv2dBackward` lowers to several steps
 * (parts.ts). Batch normalisation has been taken apart before (fuse/batch-norm.ts).
 */
export type LoweredOp = Exclude<
  OpName,
  'reshape' | 'conv2dBackward' | 'batchNorm' | 'batchNormInference' | 'batchNormBackward'
>;

type Lower<Op extends LoweredOp> = (context: LowerContext<Op>) => StepOf<Op>;

export const lowerTable: { readonly [Op in LoweredOp]: Lower<Op> } = {
  normalizeImage: ({ inputs: [x], outputs: [y], attributes }) => ({
    kind: 'normalizeImage',
    x: x!,
    y: y!,
    mean: attributes.mean,
    std: attributes.std,
  }),
  conv2d: (context) => ({
    kind: 'conv2d',
    x: context.inputs[0]!,
    weight: context.inputs[1]!,
    y: context.outputs[0]!,
    ...prologue(context),
    statistics: context.outputs[1] ?? null,
    ...normalization(context),
    ...convolution(context),
  }),
  packWeight: ({ inputs: [weight, scale], outputs: [packed], attributes }) => ({
    kind: 'packWeight',
    weight: weight!,
    scale: scale ?? null,
    packed: packed!,
    transformed: attributes.transformed,
    stride: attributes.stride,
  }),
  conv2dInference: (context) => ({
    kind: 'conv2dInference',
    x: context.inputs[0]!,
    weight: context.inputs[1]!,
    transformed: context.attributes.transformed,
    shift: context.inputs[2]!,
    residual: context.inputs[3] ?? null,
    y: context.outputs[0]!,
    relu: context.attributes.relu,
    ...normalization(context),
    ...convolution(context),
  }),
  conv2dBackwardInput: (context) => ({
    kind: 'conv2dBackwardInput',
    dy: context.inputs[0]!,
    weight: context.inputs[1]!,
    other: context.inputs[2] ?? null,
    dx: context.outputs[0]!,
    weightPacked: false,
    ...convolution(context),
  }),
  conv2dBackwardWeight: (context) => ({
    kind: 'conv2dBackwardWeight',
    x: context.inputs[0]!,
    dy: context.inputs[1]!,
    dweight: context.outputs[0]!,
    accumulate: false,
    ...prologue(context, context.attributes.normInputs),
    ...normGradient(context),
    ...normalization(context),
    ...convolution(context),
  }),
  matmul: ({ inputs: [a, b], outputs: [y], attributes }) => ({
    kind: 'matmul',
    a: a!,
    b: b!,
    y: y!,
    transposeA: attributes.transposeA,
    transposeB: attributes.transposeB,
  }),
  addBias: ({ inputs: [x, bias], outputs: [y] }) => ({
    kind: 'addBias',
    x: x!,
    bias: bias!,
    y: y!,
  }),
  sumToChannels: ({ inputs: [dy], outputs: [dbias] }) => ({
    kind: 'sumToChannels',
    dy: dy!,
    dbias: dbias!,
  }),
  batchNormStatistics: ({ inputs, outputs, attributes }) => ({
    kind: 'batchNormStatistics',
    x: inputs[0]!,
    partials: inputs[5] ?? null,
    weight: inputs[1]!,
    bias: inputs[2]!,
    runningMean: outputs[4]!,
    runningVar: outputs[5]!,
    scale: outputs[0]!,
    shift: outputs[1]!,
    mean: outputs[2]!,
    invStd: outputs[3]!,
    momentum: attributes.momentum,
    eps: attributes.eps,
  }),
  batchNormFold: ({ inputs, outputs, attributes }) => ({
    kind: 'batchNormFold',
    weight: inputs[0]!,
    bias: inputs[1]!,
    runningMean: inputs[2]!,
    runningVar: inputs[3]!,
    scale: outputs[0]!,
    shift: outputs[1]!,
    eps: attributes.eps,
  }),
  scaleShift: ({ inputs, outputs: [y], attributes }) => ({
    kind: 'scaleShift',
    x: inputs[0]!,
    scale: inputs[1]!,
    shift: inputs[2]!,
    residual: inputs[3] ?? null,
    residualScale: inputs[4] ?? null,
    residualShift: inputs[5] ?? null,
    y: y!,
    relu: attributes.relu,
    residualRelu: attributes.residualRelu,
  }),
  batchNormBackwardSums: ({ inputs, outputs, attributes }) => ({
    kind: 'batchNormBackwardSums',
    dy: inputs[0]!,
    x: inputs[1]!,
    weight: inputs[2]!,
    mean: inputs[3]!,
    invStd: inputs[4]!,
    scale: inputs[5] ?? null,
    shift: inputs[6] ?? null,
    dweight: outputs[0]!,
    dbias: outputs[1]!,
    factors: outputs[2]!,
    running: attributes.running,
  }),
  reluBackwardSums: ({ inputs, outputs, attributes }) => ({
    kind: 'reluBackwardSums',
    dy: inputs[0]!,
    y: inputs[1]!,
    other: inputs[6] ?? null,
    x: inputs[2]!,
    weight: inputs[3]!,
    mean: inputs[4]!,
    invStd: inputs[5]!,
    g: outputs[0]!,
    dweight: outputs[1]!,
    dbias: outputs[2]!,
    factors: outputs[3]!,
    running: attributes.running,
  }),
  batchNormBackwardInput: ({ inputs, outputs: [dx] }) => ({
    kind: 'batchNormBackwardInput',
    dy: inputs[0]!,
    x: inputs[1]!,
    mean: inputs[2]!,
    factors: inputs[3]!,
    scale: inputs[4] ?? null,
    shift: inputs[5] ?? null,
    dx: dx!,
    cached: false,
  }),
  relu: ({ inputs: [x], outputs: [y] }) => ({ kind: 'relu', x: x!, y: y! }),
  reluBackward: ({ inputs: [dy, y, other], outputs: [dx] }) => ({
    kind: 'reluBackward',
    other: other ?? null,
    dy: dy!,
    y: y!,
    dx: dx!,
  }),
  add: ({ inputs: [a, b], outputs: [y] }) => ({ kind: 'add', a: a!, b: b!, y: y! }),
  sigmoid: ({ inputs: [x], outputs: [y] }) => ({ kind: 'sigmoid', x: x!, y: y! }),
  sigmoidBackward: ({ inputs: [dy, y], outputs: [dx] }) => ({
    kind: 'sigmoidBackward',
    dy: dy!,
    y: y!,
    dx: dx!,
  }),
  scaleChannels: ({ inputs: [x, s], outputs: [y] }) => ({
    kind: 'scaleChannels',
    x: x!,
    s: s!,
    y: y!,
  }),
  scaleChannelsBackward: ({ inputs: [dy, x], outputs: [ds] }) => ({
    kind: 'scaleChannelsBackward',
    dy: dy!,
    x: x!,
    ds: ds!,
  }),
  dropout: ({ inputs: [x, randomness], outputs: [y], attributes }) => ({
    kind: 'dropout',
    x: x!,
    randomness: randomness!,
    y: y!,
    p: attributes.p,
    layer: attributes.layer,
  }),
  identityShortcut: ({ inputs: [x], outputs: [y], attributes }) => ({
    kind: 'identityShortcut',
    x: x!,
    y: y!,
    stride: attributes.stride,
  }),
  identityShortcutBackward: ({ inputs: [dy], outputs: [dx], attributes }) => ({
    kind: 'identityShortcutBackward',
    dy: dy!,
    dx: dx!,
    stride: attributes.stride,
  }),
  maxPool2d: ({ inputs: [x], outputs: [y], attributes }) => ({
    kind: 'maxPool2d',
    x: x!,
    y: y!,
    ...attributes,
  }),
  maxPool2dBackward: ({ inputs: [dy, x], outputs: [dx], attributes }) => ({
    kind: 'maxPool2dBackward',
    dy: dy!,
    x: x!,
    dx: dx!,
    ...attributes,
  }),
  avgPool2d: ({ inputs: [x], outputs: [y], attributes }) => ({
    kind: 'avgPool2d',
    x: x!,
    y: y!,
    ...averagingWindow(attributes),
  }),
  avgPool2dBackward: ({ inputs: [dy], outputs: [dx], attributes }) => ({
    kind: 'avgPool2dBackward',
    dy: dy!,
    dx: dx!,
    ...averagingWindow(attributes),
  }),
  adaptiveAvgPool2d: ({ inputs: [x], outputs: [y] }) => ({
    kind: 'adaptiveAvgPool2d',
    x: x!,
    y: y!,
  }),
  adaptiveAvgPool2dBackward: ({ inputs: [dy], outputs: [dx] }) => ({
    kind: 'adaptiveAvgPool2dBackward',
    dy: dy!,
    dx: dx!,
  }),
  nhwcToNchw: ({ inputs: [x], outputs: [y] }) => ({ kind: 'nhwcToNchw', x: x!, y: y! }),
  nchwToNhwc: ({ inputs: [x], outputs: [y] }) => ({ kind: 'nchwToNhwc', x: x!, y: y! }),
  softmaxCrossEntropy: ({ inputs: [logits, labels], outputs: [loss] }) => ({
    kind: 'softmaxCrossEntropy',
    logits: logits!,
    labels: labels!,
    loss: loss!,
  }),
  softmaxCrossEntropyBackward: ({ inputs: [dloss, logits, labels], outputs: [dlogits] }) => ({
    kind: 'softmaxCrossEntropyBackward',
    dloss: dloss!,
    logits: logits!,
    labels: labels!,
    dlogits: dlogits!,
  }),
  fill: ({ outputs: [y], attributes }) => ({ kind: 'fill', y: y!, value: attributes.value }),
  sgd: ({ inputs: [, dparameter, hyper], outputs: [parameter, velocity], attributes }) => ({
    kind: 'sgd',
    parameter: parameter!,
    dparameter: dparameter!,
    velocity: velocity ?? null,
    hyper: hyper!,
    ...attributes,
  }),
  adamW: ({ inputs: [, dparameter, hyper], outputs: [parameter, m, v], attributes }) => ({
    kind: 'adamW',
    parameter: parameter!,
    dparameter: dparameter!,
    m: m!,
    v: v!,
    hyper: hyper!,
    ...attributes,
  }),
};

/** A scale and a shift behind the two tensors that every pass has, and what lies between. */
function prologue({ inputs }: { readonly inputs: readonly Slot[] }, between = 0) {
  const [scale, shift] = inputs.slice(2 + between);
  return { scale: scale ?? null, shift: shift ?? null };
}

function normalization({ attributes }: { readonly attributes: Conv2dAttributes }) {
  return { mean: attributes.mean ?? null, std: attributes.std ?? null };
}

function normGradient({ inputs, attributes }: LowerContext<'conv2dBackwardWeight'>) {
  const [x, mean, factors, scale, shift] = inputs.slice(2, 2 + (attributes.normInputs ?? 0));
  return {
    normX: x ?? null,
    normMean: mean ?? null,
    normFactors: factors ?? null,
    normScale: scale ?? null,
    normShift: shift ?? null,
  };
}

/** `ceilMode` has done its work: it is in the output's size. */
function averagingWindow(attributes: AvgPoolAttributes) {
  const { kernelHeight, kernelWidth, stride, padding, countIncludePad = true } = attributes;
  return { kernelHeight, kernelWidth, stride, padding, countIncludePad };
}

function convolution<Op extends ConvPass>(context: LowerContext<Op>) {
  if (!context.choice) throw new Error('internal: a convolution was lowered without an algorithm');
  return {
    stride: context.attributes.stride,
    padding: context.attributes.padding,
    groups: context.attributes.groups ?? 1,
    algorithm: context.choice.algorithm,
    cut: context.choice.cut,
    workspace: context.workspace,
  };
}
