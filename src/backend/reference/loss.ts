/** Softmax cross-entropy and its gradient. */
import type { StepTable } from './steps.js';

/** softmax of one row, the maximum subtracted first so that no exponential overflows. */
function softmax(row: Float32Array): Float64Array {
  const max = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const exponentials = Float64Array.from(row, (logit) => Math.exp(logit - max));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

export const lossSteps: StepTable<'softmaxCrossEntropy' | 'softmaxCrossEntropyBackward'> = {
  softmaxCrossEntropy(step, arena) {
    const logits = arena.f32(step.logits);
    const labels = arena.view(step.labels);
    const [N, K] = step.logits.shape as [number, number];
    let loss = 0;
    for (let n = 0; n < N; n++) {
      const row = logits.subarray(n * K, (n + 1) * K);
      const max = row.reduce((a, b) => Math.max(a, b), -Infinity);
      const sum = row.reduce((total, logit) => total + Math.exp(logit - max), 0);
      loss += max + Math.log(sum) - row[labels[n]!]!;
    }
    arena.f32(step.loss)[0] = loss / N;
  },

  softmaxCrossEntropyBackward(step, arena) {
    const logits = arena.f32(step.logits);
    const labels = arena.view(step.labels);
    const dlogits = arena.f32(step.dlogits);
    const [N, K] = step.logits.shape as [number, number];
    const scale = arena.f32(step.dloss)[0]! / N;
    for (let n = 0; n < N; n++) {
      const probabilities = softmax(logits.subarray(n * K, (n + 1) * K));
      probabilities[labels[n]!]! -= 1;
      dlogits.set(
        probabilities.map((value) => value * scale),
        n * K,
      );
    }
  },
};
