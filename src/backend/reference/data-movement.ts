/** Element-wise steps, sums to channels, and the two orders of an image's axes. */
import type { StepTable } from './steps.js';

const { fround } = Math;

export const dataSteps: StepTable<
  | 'normalizeImage'
  | 'addBias'
  | 'sumToChannels'
  | 'relu'
  | 'reluBackward'
  | 'add'
  | 'nhwcToNchw'
  | 'nchwToNhwc'
  | 'fill'
> = {
  // The one step that rounds after every operation: it is to give torchvision's very bits.
  normalizeImage(step, arena) {
    const x = arena.view(step.x);
    const y = arena.f32(step.y);
    const C = step.mean.length;
    const mean = Float32Array.from(step.mean);
    const std = Float32Array.from(step.std);
    for (let i = 0; i < x.length; i++) {
      y[i] = fround(fround(fround(x[i]! / 255) - mean[i % C]!) / std[i % C]!);
    }
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
    for (let i = 0; i < dy.length; i++) dx[i] = y[i]! > 0 ? dy[i]! : 0;
  },

  add(step, arena) {
    const [a, b, y] = [arena.f32(step.a), arena.f32(step.b), arena.f32(step.y)];
    for (let i = 0; i < y.length; i++) y[i] = a[i]! + b[i]!;
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

/** (N, A, B) → (N, B, A) */
function swapInner(x: Float32Array, y: Float32Array, N: number, A: number, B: number): void {
  for (let n = 0; n < N; n++) {
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < B; b++) y[(n * B + b) * A + a] = x[(n * A + a) * B + b]!;
    }
  }
}
