/**
 * A convolution and the batch-norm behind it as one convolution: both are affine, and in evaluation
 * nothing of a batch enters them.
 *
 * scale = weight/√(variance + eps), weight'(k,…) = weight(k,…)·scale(k),
 * bias'(k) = bias(k)·scale(k) + (batch-norm's bias(k) - mean(k)·scale(k)); in float64, rounded once.
 */

export interface BatchNormVectors {
  readonly weight: Float32Array; // (K)
  readonly bias: Float32Array; // (K)
  readonly mean: Float32Array; // (K)
  readonly variance: Float32Array; // (K)
  readonly eps: number;
}

/** `weight` has K as its first axis. */
export function foldBatchNorm(
  weight: Float32Array,
  bias: Float32Array | undefined,
  norm: BatchNormVectors,
): { readonly weight: Float32Array; readonly bias: Float32Array } {
  const K = norm.weight.length;
  const perOutput = weight.length / K;
  const scale = Float64Array.from(norm.weight, (gamma, k) => {
    return gamma / Math.sqrt(norm.variance[k]! + norm.eps);
  });
  return {
    weight: weight.map((value, i) => value * scale[Math.floor(i / perOutput)]!),
    bias: Float32Array.from(scale, (factor, k) => {
      return norm.bias[k]! + ((bias?.[k] ?? 0) - norm.mean[k]!) * factor;
    }),
  };
}
