/**
 * Batch normalisation over all axes but the last (Ioffe and Szegedy 2015, arXiv 1502.03167).
 *
 * Training: biased batch variance normalises, the unbiased one enters the running variance, as in
 * PyTorch. Backward saves x, weight, and the batch's mean and 1/√(variance + eps).
 *
 * Inference: an affine map by the running statistics. Its gradient is that of fine-tuning with frozen
 * statistics, through which nothing flows.
 */
import type { TensorType } from '../graph/builder.js';
import type { Value } from '../graph/graph.js';
import {
  at,
  expectChannels,
  f32,
  lastAxis,
  like,
  noSecondDerivative,
  onlyGradient,
  type OpRule,
} from './op.js';

export type BatchNormAttributes = { readonly momentum: number; readonly eps: number };
export type BatchNormInferenceAttributes = { readonly eps: number };

const vectors = ['weight', 'bias', 'running mean', 'running variance'];

function expectVectors(inputs: readonly TensorType[]): number {
  const channels = lastAxis(at(inputs, 0));
  vectors.forEach((role, i) => expectChannels('batchNorm2d', role, at(inputs, i + 1), channels));
  return channels;
}

/** Inputs: x, weight, bias, running mean, running variance. Outputs: y, mean, invStd, both new. */
export const batchNorm: OpRule<BatchNormAttributes> = {
  infer(inputs) {
    const C = expectVectors(inputs);
    return [like(at(inputs, 0)), f32(C), f32(C), f32(C), f32(C)];
  },
  vjp(context) {
    const [x, weight] = context.inputs;
    const [, mean, invStd] = context.outputs;
    const dy = onlyGradient(context);
    const gradients = context.emit('batchNormBackward', [dy, x!, weight!, mean!, invStd!], {});
    return [at(gradients, 0), at(gradients, 1), at(gradients, 2), null, null];
  },
  replaces: { 3: 3, 4: 4 },
};

/** Inputs: x, weight, bias, running mean, running variance. */
export const batchNormInference: OpRule<BatchNormInferenceAttributes> = {
  infer(inputs) {
    expectVectors(inputs);
    return [like(at(inputs, 0))];
  },
  vjp(context) {
    const { emit, attributes } = context;
    const [x, weight, , mean, variance] = context.inputs as readonly [Value, Value, ...Value[]];
    const dy = onlyGradient(context);
    // 1/√(variance + eps) is the scale of a normalisation whose weight is 1.
    const one = at(emit('fill', [], { shape: weight.shape, value: 1 }), 0);
    const invStd = at(emit('batchNormFold', [one, one, mean!, variance!], attributes), 0);
    const sums = [dy, x, weight, mean!, invStd];
    const [dweight, dbias, factors] = emit('batchNormBackwardSums', sums, {
      relu: false,
      running: true,
    });
    const dx = context.wants(0)
      ? at(emit('batchNormBackwardInput', [dy, x, mean!, factors!], { relu: false }), 0)
      : null;
    return [dx, dweight!, dbias!, null, null];
  },
  mayOverwrite: [0],
};

/** Inputs: dy, x, weight, mean, invStd. Outputs: dx, dweight, dbias. */
export const batchNormBackward: OpRule<Record<never, never>> = {
  infer([, x]) {
    const C = lastAxis(x!);
    return [like(x!), f32(C), f32(C)];
  },
  vjp: noSecondDerivative,
};
