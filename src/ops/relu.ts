/** y = max(x, 0). Backward saves y: where it is positive, x was. */
import { at, like, noSecondDerivative, onlyGradient, type OpRule } from './op.js';

export const relu: OpRule<Record<never, never>> = {
  infer: ([x]) => [like(x!)],
  vjp(context) {
    const dy = onlyGradient(context);
    return [context.emit('reluBackward', [dy, at(context.outputs, 0)], {})[0]!];
  },
  mayOverwrite: [0],
};

/** Inputs: dy, y [, another part of dy, to be added]. */
export const reluBackward: OpRule<Record<never, never>> = {
  infer: ([dy]) => [like(dy!)],
  vjp: noSecondDerivative,
  mayOverwrite: [0, 2],
};
