/** The learning rate at each step: constant or cosine (arXiv 1608.03983), after linear warm-up. */
import type { ScheduleName } from './train-options.js';

export interface Schedule {
  readonly kind: ScheduleName;
  /** The rate after warm-up. */
  readonly lr: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/**
 * The rate of step t, counted from 0: lr·(t + 1)/warmup in warm-up, then lr, or
 * lr·(1 + cos π·(t - warmup)/(total - warmup))/2.
 */
export function learningRate({ kind, lr, warmupSteps, totalSteps }: Schedule, t: number): number {
  if (t < warmupSteps) return (lr * (t + 1)) / warmupSteps;
  if (kind === 'constant') return lr;
  const progress = (t - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  return (lr * (1 + Math.cos(Math.PI * progress))) / 2;
}
