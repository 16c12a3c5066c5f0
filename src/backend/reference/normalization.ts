/** Batch normalisation in training and inference, and its gradient. */
import type { StepTable } from './steps.js';

export const normSteps: StepTable<'batchNorm' | 'batchNormInference' | 'batchNormBackward'> = {
  batchNorm(step, arena) {
    const x = arena.f32(step.x);
    const y = arena.f32(step.y);
    const [weight, bias] = [arena.f32(step.weight), arena.f32(step.bias)];
    const [runningMean, runningVar] = [arena.f32(step.runningMean), arena.f32(step.runningVar)];
    const [means, invStds] = [arena.f32(step.mean), arena.f32(step.invStd)];
    const C = weight.length;
    const M = x.length / C;
    for (let c = 0; c < C; c++) {
      let mean = 0;
      for (let i = c; i < x.length; i += C) mean += x[i]!;
      mean /= M;
      let variance = 0;
      for (let i = c; i < x.length; i += C) variance += (x[i]! - mean) ** 2;
      variance /= M;
      const invStd = 1 / Math.sqrt(variance + step.eps);
      for (let i = c; i < x.length; i += C) {
        y[i] = (x[i]! - mean) * invStd * weight[c]! + bias[c]!;
      }
      means[c] = mean;
      invStds[c] = invStd;
      // A single value has no sample variance: nothing is learnt from it.
      if (M === 1) continue;
      const keep = 1 - step.momentum;
      runningMean[c] = keep * runningMean[c]! + step.momentum * mean;
      runningVar[c] = keep * runningVar[c]! + (step.momentum * variance * M) / (M - 1);
    }
  },

  batchNormInference(step, arena) {
    const x = arena.f32(step.x);
    const y = arena.f32(step.y);
    const [weight, bias] = [arena.f32(step.weight), arena.f32(step.bias)];
    const [mean, variance] = [arena.f32(step.runningMean), arena.f32(step.runningVar)];
    const C = weight.length;
    for (let i = 0; i < x.length; i++) {
      const c = i % C;
      const invStd = 1 / Math.sqrt(variance[c]! + step.eps);
      y[i] = (x[i]! - mean[c]!) * invStd * weight[c]! + bias[c]!;
    }
  },

  batchNormBackward(step, arena) {
    const [dy, x] = [arena.f32(step.dy), arena.f32(step.x)];
    const [weight, means, invStds] = [
      arena.f32(step.weight),
      arena.f32(step.mean),
      arena.f32(step.invStd),
    ];
    const [dx, dweight, dbias] = [
      arena.f32(step.dx),
      arena.f32(step.dweight),
      arena.f32(step.dbias),
    ];
    const C = weight.length;
    const M = x.length / C;
    for (let c = 0; c < C; c++) {
      const [mean, invStd] = [means[c]!, invStds[c]!];
      let sum = 0;
      let dot = 0;
      for (let i = c; i < x.length; i += C) {
        sum += dy[i]!;
        dot += dy[i]! * (x[i]! - mean) * invStd;
      }
      for (let i = c; i < x.length; i += C) {
        const normalized = (x[i]! - mean) * invStd;
        dx[i] = weight[c]! * invStd * (dy[i]! - sum / M - (normalized * dot) / M);
      }
      dweight[c] = dot;
      dbias[c] = sum;
    }
  },
};
