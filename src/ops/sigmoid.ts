/** y = 1/(1 + e^-x). Backward saves y: dx = dy·y·(1 - y). */
import { at, like, noSecondDerivative, onlyGradient, type OpRule } from './op.js';

export const sigmoid: OpRule<Record<never, never>> = {
  infer: ([x]) => [like(x!)],
  vjp(context) {
    const dy = onlyGradient(context);
    return [context.emit('sigmoidBackward', [dy, at(context.outputs, 0)], {})[0]!];
  },
  mayOverwrite: [0],
};

/** Inputs: dy, y. */
export const sigmoidBackward: OpRule<Record<never, never>> = {
  infer: ([dy]) => [like(dy!)],
  vjp: noSecondDerivative,
  mayOverwrite: [0],
};
