/**
 * Optimizer updates, in place: stochastic gradient descent as in PyTorch (momentum without
 * dampening) and AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2).
 */
import { sameShape } from '../graph/graph.js';
import { like, noSecondDerivative, shapeText, type OpRule } from './op.js';
import type { TensorType } from '../graph/builder.js';

export type SgdAttributes = {
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
};
export type AdamWAttributes = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
};

/** All that moves with a parameter has its shape. */
function alike(tensors: readonly TensorType[]): readonly TensorType[] {
  const [parameter, ...others] = tensors;
  for (const other of others) {
    if (!sameShape(parameter!.shape, other.shape)) {
      throw new Error(
        `internal: optimizer: parameter ${shapeText(parameter!.shape)}, ${shapeText(other.shape)}`,
      );
    }
  }
  return tensors.map(like);
}

/** Inputs: parameter, dparameter, hyper, velocity where momentum is not zero. */
export const sgd: OpRule<SgdAttributes> = {
  infer([parameter, dparameter, , velocity]) {
    alike([parameter!, dparameter!]);
    return alike(velocity ? [parameter!, velocity] : [parameter!]);
  },
  vjp: noSecondDerivative,
  replaces: { 0: 0, 1: 3 },
};

/** Inputs: parameter, dparameter, hyper, m, v. */
export const adamW: OpRule<AdamWAttributes> = {
  infer([parameter, dparameter, , m, v]) {
    alike([parameter!, dparameter!]);
    return alike([parameter!, m!, v!]);
  },
  vjp: noSecondDerivative,
  replaces: { 0: 0, 1: 3, 2: 4 },
};
