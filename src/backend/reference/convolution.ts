/** Convolution and its gradients as seven nested loops, and the product of matrices. */
import type { Normalization, Slot, StepOf } from '../../plan/plan.js';
import type { Arena } from './index.js';
import { normalized } from './data-movement.js';
import { normGradient, writeStatistics } from './normalization.js';
import type { StepTable } from './steps.js';

interface Sizes {
  /** Channels of x that an output channel sees: those of its group. */
  readonly perGroup: number;
  /** Output channels of a group. */
  readonly outputsPerGroup: number;
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

/** x (N,H,W,C), y (N,OH,OW,K) and weight (K,R,S,C/groups), packed or not, or their gradients. */
function sizesOf(x: Slot, y: Slot, weight: Slot, groups: number): Sizes {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW, K] = y.shape as [number, number, number, number];
  const [, R, S] = weight.shape as [number, number, number, number];
  return { N, H, W, C, K, R, S, OH, OW, perGroup: C / groups, outputsPerGroup: K / groups };
}

/**
 * Visits every output pixel with every filter tap that falls inside the image: `pixel` and `out`
 * are the starts of its channels in x and y, `tap` is r·S + s.
 */
function eachTap(
  { N, H, W, C, K, R, S, OH, OW }: Sizes,
  { stride, padding }: { stride: number; padding: number },
  visit: (pixel: number, out: number, tap: number) => void,
): void {
  for (let n = 0; n < N; n++) {
    for (let oh = 0; oh < OH; oh++) {
      for (let ow = 0; ow < OW; ow++) {
        for (let r = 0; r < R; r++) {
          const h = oh * stride - padding + r;
          if (h < 0 || h >= H) continue;
          for (let s = 0; s < S; s++) {
            const w = ow * stride - padding + s;
            if (w < 0 || w >= W) continue;
            visit(((n * H + h) * W + w) * C, ((n * OH + oh) * OW + ow) * K, r * S + s);
          }
        }
      }
    }
  }
}

/** For output channel k: where its group's channels begin within a pixel of x. */
const firstChannel = ({ perGroup, outputsPerGroup }: Sizes, k: number) =>
  Math.floor(k / outputsPerGroup) * perGroup;

/** x, or what it becomes of bytes. */
function imageOf({ x, mean, std }: { readonly x: Slot } & Normalization, arena: Arena) {
  return mean && std ? normalized({ x, mean, std }, arena) : arena.f32(x);
}

/** x, or relu(x·scale + shift). */
function activated(step: StepOf<'conv2d' | 'conv2dBackwardWeight'>, arena: Arena): Float32Array {
  const values = imageOf(step, arena);
  if (!step.scale || !step.shift) return values;
  const [scale, shift] = [arena.f32(step.scale), arena.f32(step.shift)];
  const C = scale.length;
  return values.map((value, i) => {
    const y = value * scale[i % C]! + shift[i % C]!;
    return y <= 0 ? 0 : y;
  });
}

/** dy, or what is made of it as the input's gradient of a batch normalisation. */
function gradientOf(step: StepOf<'conv2dBackwardWeight'>, arena: Arena): Float32Array {
  const { normX: x, normMean: mean, normFactors: factors, normScale, normShift } = step;
  const dy = arena.f32(step.dy);
  if (!x || !mean || !factors) return dy;
  const norm = { dy: step.dy, x, mean, factors, scale: normScale, shift: normShift };
  const valueOf = normGradient(norm, arena);
  return dy.map((_, i) => valueOf(i));
}

/** Σ x(…) weight(k, …), in the order of y. */
function convolve(
  sizes: Sizes,
  window: { readonly stride: number; readonly padding: number },
  x: Float32Array,
  weight: Float32Array,
): Float64Array {
  const { N, K, R, S, OH, OW, perGroup } = sizes;
  const sums = new Float64Array(N * OH * OW * K);
  eachTap(sizes, window, (pixel, out, tap) => {
    for (let k = 0; k < K; k++) {
      const filter = (k * R * S + tap) * perGroup;
      const first = pixel + firstChannel(sizes, k);
      let sum = 0;
      for (let c = 0; c < perGroup; c++) sum += x[first + c]! * weight[filter + c]!;
      sums[out + k]! += sum;
    }
  });
  return sums;
}

export const convolutionSteps: StepTable<
  | 'conv2d'
  | 'packWeight'
  | 'conv2dInference'
  | 'conv2dBackwardInput'
  | 'conv2dBackwardWeight'
  | 'matmul'
> = {
  conv2d(step, arena) {
    const x = activated(step, arena);
    const y = arena.f32(step.y);
    y.set(
      convolve(sizesOf(step.x, step.y, step.weight, step.groups), step, x, arena.f32(step.weight)),
    );
    if (step.statistics) writeStatistics(y, step.statistics, arena);
  },

  // Here a packed weight keeps its order, at the start of its slot.
  packWeight(step, arena) {
    const [weight, packed] = [arena.f32(step.weight), arena.f32(step.packed)];
    const scale = step.scale && arena.f32(step.scale);
    const perOutput = weight.length / step.weight.shape[0]!;
    packed.set(weight.map((value, i) => value * (scale?.[Math.floor(i / perOutput)] ?? 1)));
  },

  conv2dInference(step, arena) {
    const sums = convolve(
      sizesOf(step.x, step.y, step.weight, step.groups),
      step,
      imageOf(step, arena),
      arena.f32(step.weight),
    );
    const [shift, y] = [arena.f32(step.shift), arena.f32(step.y)];
    const residual = step.residual && arena.f32(step.residual);
    const K = shift.length;
    sums.forEach((sum, i) => {
      const value = sum + shift[i % K]! + (residual?.[i] ?? 0);
      y[i] = step.relu && value <= 0 ? 0 : value;
    });
  },

  conv2dBackwardInput(step, arena) {
    const sizes = sizesOf(step.dx, step.dy, step.weight, step.groups);
    const { K, R, S, perGroup } = sizes;
    const dy = arena.f32(step.dy);
    const weight = arena.f32(step.weight);
    const dx = arena.f32(step.dx);
    const sums = step.other
      ? Float64Array.from(arena.f32(step.other))
      : new Float64Array(dx.length);
    eachTap(sizes, step, (pixel, out, tap) => {
      for (let k = 0; k < K; k++) {
        const filter = (k * R * S + tap) * perGroup;
        const first = pixel + firstChannel(sizes, k);
        const gradient = dy[out + k]!;
        for (let c = 0; c < perGroup; c++) sums[first + c]! += gradient * weight[filter + c]!;
      }
    });
    dx.set(sums);
  },

  conv2dBackwardWeight(step, arena) {
    const sizes = sizesOf(step.x, step.dy, step.dweight, step.groups);
    const { K, R, S, perGroup } = sizes;
    const x = activated(step, arena);
    const dy = gradientOf(step, arena);
    const dweight = arena.f32(step.dweight);
    const sums = step.accumulate ? Float64Array.from(dweight) : new Float64Array(dweight.length);
    eachTap(sizes, step, (pixel, out, tap) => {
      for (let k = 0; k < K; k++) {
        const filter = (k * R * S + tap) * perGroup;
        const first = pixel + firstChannel(sizes, k);
        const gradient = dy[out + k]!;
        for (let c = 0; c < perGroup; c++) sums[filter + c]! += gradient * x[first + c]!;
      }
    });
    dweight.set(sums);
  },

  matmul(step, arena) {
    const a = arena.f32(step.a);
    const b = arena.f32(step.b);
    const y = arena.f32(step.y);
    const [M, N] = step.y.shape as [number, number];
    const inner = step.a.shape[step.transposeA ? 0 : 1]!;
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) {
        let sum = 0;
        for (let i = 0; i < inner; i++) {
          const left = step.transposeA ? a[i * M + m]! : a[m * inner + i]!;
          const right = step.transposeB ? b[n * inner + i]! : b[i * N + n]!;
          sum += left * right;
        }
        y[m * N + n] = sum;
      }
    }
  },
};
