/** What the steps of a convolution have beside its tensors, in every pass. */
import type { Slot } from './plan.js';

/**
 * How a convolution is computed. `direct`: the definition. `gemm`: implicit, on packed weights.
 * `winograd`: minimal filtering of 4×4 outputs at a time, for 3×3 filters of stride 1 and 2.
 * `grouped`: for more than one group, a vector of output channels at a time on inputs laid out for it.
 */
export type ConvAlgorithm = 'direct' | 'gemm' | 'winograd' | 'grouped';

/** How a convolution's work is cut: by its shape, so that the bits do not depend on the threads. */
export interface ConvCut {
  /** Partial sums in which a weight's gradient is collected. */
  readonly partials: number;
  /** Winograd: tiles that are transformed and multiplied at a time. */
  readonly blockTiles: number;
  /**
   * Winograd's weight gradient: channels of a task, of C and of K alike. Its other passes: where they
   * go panel by panel of output channels, input channels that are multiplied at a time; else 0.
   */
  readonly blockChannels: number;
  /** Winograd: tasks among which the output channels of a block are shared. */
  readonly splits: number;
}

/** Where they are there, x is u8, and becomes (x/255 - mean)/std as it is loaded, as normalizeImage does. */
export interface Normalization {
  readonly mean: readonly number[] | null; // (C)
  readonly std: readonly number[] | null; // (C)
}

export interface ConvAttributes {
  readonly stride: number;
  readonly padding: number;
  /** Output channel k sees the C/groups input channels of group floor(k·groups/K). */
  readonly groups: number;
  readonly algorithm: ConvAlgorithm;
  readonly cut: ConvCut;
  /** Scratch whose size the algorithm fixes (`algorithms.ts`); null where it needs none. */
  readonly workspace: Slot | null;
}

/** x becomes relu(x·scale + shift) as it is loaded; what lies outside the image stays zero. */
export interface Prologue {
  readonly scale: Slot | null; // (C)
  readonly shift: Slot | null; // (C)
}

/**
 * Where normX is there, dy is that of a batch normalisation's output, or of the relu's behind it: the
 * convolution's own is made from it as it is loaded, as batchNormBackwardInput does.
 */
export interface NormGradient {
  readonly normX: Slot | null; // as dy
  readonly normMean: Slot | null; // (K)
  readonly normFactors: Slot | null; // (3, K)
  readonly normScale: Slot | null; // (K)
  readonly normShift: Slot | null; // (K)
}
