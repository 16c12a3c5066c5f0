/** Batch normalisation in training and inference, and its gradient, in the plan's parts. */
import type { Slot, StepOf } from '../../plan/plan.js';
import type { Arena } from './index.js';
import type { StepTable } from './steps.js';

/** Of one channel. */
interface Moments {
  readonly count: number;
  readonly mean: number;
  /** Sum of squared deviations from the mean. */
  readonly squares: number;
}

function momentsOf(x: Float32Array, c: number, C: number): Moments {
  const count = x.length / C;
  let mean = 0;
  for (let i = c; i < x.length; i += C) mean += x[i]!;
  mean /= count;
  let squares = 0;
  for (let i = c; i < x.length; i += C) squares += (x[i]! - mean) ** 2;
  return { count, mean, squares };
}

/** Moments of the union of two samples (Chan et al. 1983). */
function merge(a: Moments, b: Moments): Moments {
  if (b.count === 0) return a;
  const count = a.count + b.count;
  const difference = b.mean - a.mean;
  return {
    count,
    mean: a.mean + (difference * b.count) / count,
    squares: a.squares + b.squares + (difference ** 2 * a.count * b.count) / count,
  };
}

function mergedPartials(partials: Float32Array, blocks: number, c: number, C: number): Moments {
  let merged: Moments = { count: 0, mean: 0, squares: 0 };
  for (let block = 0; block < blocks; block++) {
    const [count, mean, squares] = [0, 1, 2].map((i) => partials[(block * 3 + i) * C + c]!) as [
      ...[number, number, number],
    ];
    merged = merge(merged, { count, mean, squares });
  }
  return merged;
}

/** Writes count, mean and squared deviations of y's channels: all in the first block. */
export function writeStatistics(y: Float32Array, statistics: Slot, arena: Arena): void {
  const [, , K] = statistics.shape as [number, number, number];
  const values = arena.f32(statistics).fill(0);
  for (let k = 0; k < K; k++) {
    const { count, mean, squares } = momentsOf(y, k, K);
    [count, mean, squares].forEach((value, i) => (values[i * K + k] = value));
  }
}

const positive = (value: number) => (value <= 0 ? 0 : value);

/** dy, or dy where the relu's input was positive. */
function gradient(
  step: { dy: Slot; x: Slot; scale: Slot | null; shift: Slot | null },
  arena: Arena,
) {
  const [dy, x] = [arena.f32(step.dy), arena.f32(step.x)];
  if (!step.scale || !step.shift) return (i: number) => dy[i]!;
  const [scale, shift] = [arena.f32(step.scale), arena.f32(step.shift)];
  const C = scale.length;
  return (i: number) => (x[i]! * scale[i % C]! + shift[i % C]! > 0 ? dy[i]! : 0);
}

/** A number of the gradient of a batch normalisation's input. */
export function normGradient(
  step: { dy: Slot; x: Slot; mean: Slot; factors: Slot; scale: Slot | null; shift: Slot | null },
  arena: Arena,
) {
  const g = gradient(step, arena);
  const [x, mean, factors] = [arena.f32(step.x), arena.f32(step.mean), arena.f32(step.factors)];
  const C = mean.length;
  return (i: number) => {
    const c = i % C;
    const [a, slope, average] = [factors[c]!, factors[C + c]!, factors[2 * C + c]!];
    return a * (g(i) - average - slope * (x[i]! - mean[c]!));
  };
}

/** Of a gradient g, what a batch normalisation's own gradients are made of. */
function sumGradient(
  step: StepOf<'batchNormBackwardSums' | 'reluBackwardSums'>,
  g: (i: number) => number,
  arena: Arena,
): void {
  const x = arena.f32(step.x);
  const weight = arena.f32(step.weight);
  const [means, invStds] = [arena.f32(step.mean), arena.f32(step.invStd)];
  const [dweight, dbias] = [arena.f32(step.dweight), arena.f32(step.dbias)];
  const factors = arena.f32(step.factors);
  const C = weight.length;
  const M = x.length / C;
  for (let c = 0; c < C; c++) {
    let sum = 0;
    let dot = 0;
    for (let i = c; i < x.length; i += C) {
      sum += g(i);
      dot += g(i) * (x[i]! - means[c]!) * invStds[c]!;
    }
    const a = weight[c]! * invStds[c]!;
    dweight[c] = dot;
    dbias[c] = sum;
    factors[c] = a;
    factors[C + c] = step.running ? 0 : (invStds[c]! * dot) / M;
    factors[2 * C + c] = step.running ? 0 : sum / M;
  }
}

export const normSteps: StepTable<
  | 'batchNormStatistics'
  | 'batchNormFold'
  | 'scaleShift'
  | 'batchNormBackwardSums'
  | 'reluBackwardSums'
  | 'batchNormBackwardInput'
> = {
  batchNormStatistics(step, arena) {
    const x = arena.f32(step.x);
    const [weight, bias] = [arena.f32(step.weight), arena.f32(step.bias)];
    const [runningMean, runningVar] = [arena.f32(step.runningMean), arena.f32(step.runningVar)];
    const [scale, shift] = [arena.f32(step.scale), arena.f32(step.shift)];
    const [means, invStds] = [arena.f32(step.mean), arena.f32(step.invStd)];
    const C = weight.length;
    for (let c = 0; c < C; c++) {
      const { count, mean, squares } = step.partials
        ? mergedPartials(arena.f32(step.partials), step.partials.shape[0]!, c, C)
        : momentsOf(x, c, C);
      const invStd = 1 / Math.sqrt(squares / count + step.eps);
      means[c] = mean;
      invStds[c] = invStd;
      scale[c] = invStd * weight[c]!;
      shift[c] = bias[c]! - mean * invStd * weight[c]!;
      if (count === 1) continue;
      const keep = 1 - step.momentum;
      runningMean[c] = keep * runningMean[c]! + step.momentum * mean;
      runningVar[c] = keep * runningVar[c]! + (step.momentum * squares) / (count - 1);
    }
  },

  batchNormFold(step, arena) {
    const [weight, bias] = [arena.f32(step.weight), arena.f32(step.bias)];
    const [mean, variance] = [arena.f32(step.runningMean), arena.f32(step.runningVar)];
    const [scale, shift] = [arena.f32(step.scale), arena.f32(step.shift)];
    for (let c = 0; c < weight.length; c++) {
      const factor = weight[c]! / Math.sqrt(variance[c]! + step.eps);
      scale[c] = factor;
      shift[c] = bias[c]! - mean[c]! * factor;
    }
  },

  scaleShift(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    const [scale, shift] = [arena.f32(step.scale), arena.f32(step.shift)];
    const residual = step.residual && arena.f32(step.residual);
    const residualScale = step.residualScale && arena.f32(step.residualScale);
    const residualShift = step.residualShift && arena.f32(step.residualShift);
    const C = scale.length;
    for (let i = 0; i < x.length; i++) {
      const c = i % C;
      let value = x[i]! * scale[c]! + shift[c]!;
      if (residual) {
        const mapped = residual[i]! * (residualScale?.[c] ?? 1) + (residualShift?.[c] ?? 0);
        value += step.residualRelu ? positive(mapped) : mapped;
      }
      y[i] = step.relu ? positive(value) : value;
    }
  },

  batchNormBackwardSums(step, arena) {
    sumGradient(step, gradient(step, arena), arena);
  },

  reluBackwardSums(step, arena) {
    const [dy, y, g] = [arena.f32(step.dy), arena.f32(step.y), arena.f32(step.g)];
    const other = step.other && arena.f32(step.other);
    for (let i = 0; i < g.length; i++) g[i] = y[i]! > 0 ? dy[i]! + (other?.[i] ?? 0) : 0;
    sumGradient(step, (i) => g[i]!, arena);
  },

  batchNormBackwardInput(step, arena) {
    const dx = arena.f32(step.dx);
    const valueOf = normGradient(step, arena);
    for (let i = 0; i < dx.length; i++) dx[i] = valueOf(i);
  },
};
