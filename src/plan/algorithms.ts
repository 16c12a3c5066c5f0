/**
 * How each convolution is computed, and the scratch memory that this takes: decided from its shape
 * and from what the backend can do, before anything runs. The kernels follow the same formulas.
 */
import type { Capabilities } from '../backend/backend.js';
import type { ConvAlgorithm } from './plan.js';

/** A convolution's sizes, in the alphabet of graph.ts. */
export interface ConvSizes {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly C: number;
  readonly K: number;
  readonly R: number;
  readonly S: number;
  readonly OH: number;
  readonly OW: number;
}

export type ConvPass = 'conv2d' | 'conv2dBackwardInput' | 'conv2dBackwardWeight';

export interface ConvChoice {
  readonly algorithm: ConvAlgorithm;
  readonly workspaceBytes: number;
}

/** Takes the first algorithm that the backend offers: all of them compute every shape. */
export function chooseConvAlgorithm(
  pass: ConvPass,
  sizes: ConvSizes,
  capabilities: Capabilities,
): ConvChoice {
  const algorithm = capabilities.convAlgorithms[0];
  if (!algorithm) throw new Error('internal: the backend offers no convolution');
  return { algorithm, workspaceBytes: workspaceBytes(algorithm, pass, sizes) };
}

function workspaceBytes(algorithm: ConvAlgorithm, pass: ConvPass, sizes: ConvSizes): number {
  if (algorithm === 'direct') return 0;
  const { C, K, R, S } = sizes;
  switch (pass) {
    case 'conv2d':
      return packedWeightBytes(K, C, R * S);
    case 'conv2dBackwardInput':
      return packedWeightBytes(C, K, R * S);
    case 'conv2dBackwardWeight':
      return weightPartials(sizes) * roundUp(K, 32) * R * S * C * 4;
  }
}

/** Weights as the kernel reads them: output channels in panels of 32, reduction in groups of 16. */
function packedWeightBytes(outputs: number, reduction: number, taps: number): number {
  return roundUp(outputs, 32) * taps * roundUp(reduction, 16) * 4;
}

/**
 * In how many partial sums the gradient of a weight is collected: enough to keep threads busy,
 * never more than 64 MiB. By shape alone, so that the bits do not depend on the threads.
 */
export function weightPartials({ N, OH, OW, K, R, S, C }: ConvSizes): number {
  const bySize = Math.floor((64 * 2 ** 20) / (K * R * S * C * 4));
  return Math.max(1, Math.min(16, Math.ceil((N * OH * OW) / 4096), bySize));
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
