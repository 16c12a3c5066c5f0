/** Element-wise steps, sums to channels, shortcuts, and the two orders of an image's axes. */
import type { Slot } from '../../plan/plan.js';
import { philox4x32, type Words } from '../../random/philox.js';
import type { Arena } from './index.js';
import type { StepTable } from './steps.js';

const { fround } = Math;

/**
 * (x/255 - mean)/std of bytes. What alone rounds after every operation: it is to give torchvision's very
 * bits.
 */
export function normalized(
  step: { readonly x: Slot; readonly mean: readonly number[]; readonly std: readonly number[] },
  arena: Arena,
): Float32Array {
  const C = step.mean.length;
  const [mean, std] = [Float32Array.from(step.mean), Float32Array.from(step.std)];
  return Float32Array.from(arena.view(step.x), (x, i) =>
    fround(fround(fround(x / 255) - mean[i % C]!) / std[i % C]!),
  );
}

export const dataSteps: StepTable<
  | 'normalizeImage'
  | 'addBias'
  | 'sumToChannels'
  | 'relu'
  | 'reluBackward'
  | 'add'
  | 'sigmoid'
  | 'sigmoidBackward'
  | 'scaleChannels'
  | 'scaleChannelsBackward'
  | 'dropout'
  | 'identityShortcut'
  | 'identityShortcutBackward'
  | 'nhwcToNchw'
  | 'nchwToNhwc'
  | 'fill'
> = {
  normalizeImage(step, arena) {
    arena.f32(step.y).set(normalized(step, arena));
  },

  addBias(step, arena) {
    const [x, bias, y] = [arena.f32(step.x), arena.f32(step.bias), arena.f32(step.y)];
    for (let i = 0; i < x.length; i++) y[i] = x[i]! + bias[i % bias.length]!;
  },

  sumToChannels(step, arena) {
    const [dy, dbias] = [arena.f32(step.dy), arena.f32(step.dbias)];
    const sums = new Float64Array(dbias.length);
    for (let i = 0; i < dy.length; i++) sums[i % sums.length]! += dy[i]!;
    dbias.set(sums);
  },

  relu(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    // A NaN stays one: a diverging run must be seen.
    for (let i = 0; i < x.length; i++) y[i] = x[i]! <= 0 ? 0 : x[i]!;
  },

  reluBackward(step, arena) {
    const [dy, y, dx] = [arena.f32(step.dy), arena.f32(step.y), arena.f32(step.dx)];
    const other = step.other && arena.f32(step.other);
    for (let i = 0; i < dy.length; i++) dx[i] = y[i]! > 0 ? dy[i]! + (other?.[i] ?? 0) : 0;
  },

  add(step, arena) {
    const [a, b, y] = [arena.f32(step.a), arena.f32(step.b), arena.f32(step.y)];
    for (let i = 0; i < y.length; i++) y[i] = a[i]! + b[i]!;
  },

  sigmoid(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    for (let i = 0; i < y.length; i++) y[i] = 1 / (1 + Math.exp(-x[i]!));
  },

  sigmoidBackward(step, arena) {
    const [dy, y, dx] = [arena.f32(step.dy), arena.f32(step.y), arena.f32(step.dx)];
    for (let i = 0; i < dy.length; i++) dx[i] = dy[i]! * y[i]! * (1 - y[i]!);
  },

  scaleChannels(step, arena) {
    const [x, s, y] = [arena.f32(step.x), arena.f32(step.s), arena.f32(step.y)];
    const scaleOf = scaleIndices(step.x);
    for (let i = 0; i < x.length; i++) y[i] = x[i]! * s[scaleOf(i)]!;
  },

  scaleChannelsBackward(step, arena) {
    const [dy, x, ds] = [arena.f32(step.dy), arena.f32(step.x), arena.f32(step.ds)];
    const scaleOf = scaleIndices(step.x);
    const sums = new Float64Array(ds.length);
    for (let i = 0; i < x.length; i++) sums[scaleOf(i)]! += dy[i]! * x[i]!;
    ds.set(sums);
  },

  dropout(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    const [key0, key1, stepLow, stepHigh] = arena.view(step.randomness) as unknown as Words;
    const threshold = Math.floor(step.p * 2 ** 32);
    const kept = fround(1 / (1 - step.p));
    for (let i = 0; i < x.length; i += 4) {
      const counter: Words = [i / 4, step.layer, stepLow, stepHigh];
      const words = philox4x32(counter, [key0, key1]);
      // A NaN stays one, dropped or not.
      words.slice(0, x.length - i).forEach((word, lane) => {
        y[i + lane] = x[i + lane]! * (word < threshold ? 0 : kept);
      });
    }
  },

  identityShortcut(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    y.fill(0);
    eachKept(step.x, step.y, step.stride, (from, to) => (y[to] = x[from]!));
  },

  identityShortcutBackward(step, arena) {
    const [dy, dx] = [arena.f32(step.dy), arena.f32(step.dx)];
    dx.fill(0);
    eachKept(step.dx, step.dy, step.stride, (from, to) => (dx[from] = dy[to]!));
  },

  nhwcToNchw(step, arena) {
    const [N, H, W, C] = step.x.shape as [number, number, number, number];
    swapInner(arena.f32(step.x), arena.f32(step.y), N, H * W, C);
  },

  nchwToNhwc(step, arena) {
    const [N, C, H, W] = step.x.shape as [number, number, number, number];
    swapInner(arena.f32(step.x), arena.f32(step.y), N, C, H * W);
  },

  fill(step, arena) {
    arena.f32(step.y).fill(step.value);
  },
};

/** From the index of a value of (N, H, W, C) to that of its channel in (N, 1, 1, C). */
function scaleIndices({ shape }: Slot): (i: number) => number {
  const [, H, W, C] = shape as [number, number, number, number];
  return (i) => Math.floor(i / (H * W * C)) * C + (i % C);
}

/** Visits each value of x that the shortcut keeps, with its place in y. */
function eachKept(
  x: Slot,
  y: Slot,
  stride: number,
  visit: (from: number, to: number) => void,
): void {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW, K] = y.shape as [number, number, number, number];
  const before = Math.floor((K - C) / 2);
  for (let n = 0; n < N; n++) {
    for (let oh = 0; oh < OH; oh++) {
      for (let ow = 0; ow < OW; ow++) {
        const from = ((n * H + oh * stride) * W + ow * stride) * C;
        const to = ((n * OH + oh) * OW + ow) * K + before;
        for (let c = 0; c < C; c++) visit(from + c, to + c);
      }
    }
  }
}

/** (N, A, B) → (N, B, A) */
function swapInner(x: Float32Array, y: Float32Array, N: number, A: number, B: number): void {
  for (let n = 0; n < N; n++) {
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < B; b++) y[(n * B + b) * A + a] = x[(n * A + a) * B + b]!;
    }
  }
}
