/** Optimizers as plain data: what they are, not how a backend computes them (ops/optimizer.ts). */
import { PlusxError } from '../errors.js';

/** Stochastic gradient descent as in PyTorch, with momentum without dampening. */
export interface Sgd {
  readonly kind: 'sgd';
  readonly lr: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
}

/** Adam with decoupled weight decay (arXiv 1711.05101, algorithm 2). */
export interface AdamW {
  readonly kind: 'adamw';
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}

export type Optimizer = Sgd | AdamW;

export type SgdOptions = { readonly lr: number } & Partial<Omit<Sgd, 'kind' | 'lr'>>;

export type AdamWOptions = { readonly lr: number } & Partial<Omit<AdamW, 'kind' | 'lr'>>;

/** Defaults: momentum 0, weightDecay 0, nesterov false. */
export function sgd({ lr, momentum = 0, weightDecay = 0, nesterov = false }: SgdOptions): Sgd {
  expectRange('sgd', 'lr', lr, 0, Infinity);
  expectRange('sgd', 'momentum', momentum, 0, 1);
  expectRange('sgd', 'weightDecay', weightDecay, 0, Infinity);
  if (nesterov && momentum === 0) {
    throw new PlusxError('option', 'sgd: nesterov needs a momentum above 0, got 0');
  }
  return { kind: 'sgd', lr, momentum, weightDecay, nesterov };
}

/** Defaults: beta1 0.9, beta2 0.999, eps 1e-8, weightDecay 0.01, as in PyTorch. */
export function adamW(options: AdamWOptions): AdamW {
  const { lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 } = options;
  expectRange('adamW', 'lr', lr, 0, Infinity);
  expectRange('adamW', 'beta1', beta1, 0, 1);
  expectRange('adamW', 'beta2', beta2, 0, 1);
  expectRange('adamW', 'eps', eps, 0, Infinity);
  expectRange('adamW', 'weightDecay', weightDecay, 0, Infinity);
  return { kind: 'adamw', lr, beta1, beta2, eps, weightDecay };
}

/** Accepts low ≤ value < high. */
function expectRange(who: string, name: string, value: number, low: number, high: number): void {
  if (Number.isFinite(value) && value >= low && value < high) return;
  const range = high === Infinity ? `at least ${low}` : `at least ${low} and below ${high}`;
  throw new PlusxError('option', `${who}: ${name} must be ${range}, got ${value}`);
}
