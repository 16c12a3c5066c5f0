/** loss = mean over the batch of -log softmax(logits)(label). Backward saves logits and labels. */
import { at, expectRank, f32, like, noSecondDerivative, onlyGradient, shapeError } from './op.js';
import type { OpRule } from './op.js';

export const softmaxCrossEntropy: OpRule<Record<never, never>> = {
  infer([logits, labels]) {
    expectRank('crossEntropy', 'logits', logits!, 2);
    expectRank('crossEntropy', 'labels', labels!, 1);
    if (logits!.shape[0] !== labels!.shape[0]) {
      throw shapeError(
        'crossEntropy',
        `${logits!.shape[0]} rows of logits, ${labels!.shape[0]} labels`,
      );
    }
    return [f32(1)];
  },
  vjp(context) {
    const [logits, labels] = context.inputs;
    const inputs = [onlyGradient(context), logits!, labels!];
    return [at(context.emit('softmaxCrossEntropyBackward', inputs, {}), 0), null];
  },
};

/** Inputs: dloss, logits, labels. */
export const softmaxCrossEntropyBackward: OpRule<Record<never, never>> = {
  infer: ([, logits]) => [like(logits!)],
  vjp: noSecondDerivative,
};
