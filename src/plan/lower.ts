/**
 * From ops to steps: one row an op, exhaustive, so that a new op without a step does not compile.
 */
import type { Slot, Step } from './plan.js';
import type { ConvChoice } from './algorithms.js';
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

type Lower<Op extends OpName> = (context: LowerContext<Op>) => Step;

/** `reshape` lowers to nothing: its output is its input's memory. */
export type LoweredOp = Exclude<OpName, 'reshape'>;

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
    ...convolution(context),
  }),
  conv2dBackwardInput: (context) => ({
    kind: 'conv2dBackwardInput',
    dy: context.inputs[0]!,
    weight: context.inputs[1]!,
    dx: context.outputs[0]!,
    ...convolution(context),
  }),
  conv2dBackwardWeight: (context) => ({
    kind: 'conv2dBackwardWeight',
    x: context.inputs[0]!,
    dy: context.inputs[1]!,
    dweight: context.outputs[0]!,
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
  batchNorm: ({ inputs, outputs, attributes }) => ({
    kind: 'batchNorm',
    x: inputs[0]!,
    weight: inputs[1]!,
    bias: inputs[2]!,
    runningMean: outputs[3]!,
    runningVar: outputs[4]!,
    y: outputs[0]!,
    mean: outputs[1]!,
    invStd: outputs[2]!,
    momentum: attributes.momentum,
    eps: attributes.eps,
  }),
  batchNormInference: ({ inputs, outputs: [y], attributes }) => ({
    kind: 'batchNormInference',
    x: inputs[0]!,
    weight: inputs[1]!,
    bias: inputs[2]!,
    runningMean: inputs[3]!,
    runningVar: inputs[4]!,
    y: y!,
    eps: attributes.eps,
  }),
  batchNormBackward: ({ inputs, outputs }) => ({
    kind: 'batchNormBackward',
    dy: inputs[0]!,
    x: inputs[1]!,
    weight: inputs[2]!,
    mean: inputs[3]!,
    invStd: inputs[4]!,
    dx: outputs[0]!,
    dweight: outputs[1]!,
    dbias: outputs[2]!,
  }),
  relu: ({ inputs: [x], outputs: [y] }) => ({ kind: 'relu', x: x!, y: y! }),
  reluBackward: ({ inputs: [dy, y], outputs: [dx] }) => ({
    kind: 'reluBackward',
    dy: dy!,
    y: y!,
    dx: dx!,
  }),
  add: ({ inputs: [a, b], outputs: [y] }) => ({ kind: 'add', a: a!, b: b!, y: y! }),
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
    ...attributes,
  }),
  avgPool2dBackward: ({ inputs: [dy], outputs: [dx], attributes }) => ({
    kind: 'avgPool2dBackward',
    dy: dy!,
    dx: dx!,
    kernelHeight: attributes.kernelHeight,
    kernelWidth: attributes.kernelWidth,
    stride: attributes.stride,
    padding: attributes.padding,
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

function convolution<Op extends 'conv2d' | 'conv2dBackwardInput' | 'conv2dBackwardWeight'>(
  context: LowerContext<Op>,
) {
  if (!context.choice) throw new Error('internal: a convolution was lowered without an algorithm');
  return {
    stride: context.attributes.stride,
    padding: context.attributes.padding,
    algorithm: context.choice.algorithm,
    cut: context.choice.cut,
    workspace: context.workspace,
  };
}
