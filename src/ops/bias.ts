/** y = x + bias along the last axis; its gradient for the bias is the sum over all others. */
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

export const addBias: OpRule<Record<never, never>> = {
  infer([x, bias]) {
    expectChannels('addBias', 'bias', bias!, lastAxis(x!));
    return [like(x!)];
  },
  vjp(context) {
    const dy = onlyGradient(context);
    return [dy, context.wants(1) ? at(context.emit('sumToChannels', [dy], {}), 0) : null];
  },
  mayOverwrite: [0],
};

export const sumToChannels: OpRule<Record<never, never>> = {
  infer: ([dy]) => [f32(lastAxis(dy!))],
  vjp: noSecondDerivative,
};
