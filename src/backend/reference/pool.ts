/** Max and average pooling and their gradients. */
import type { Slot, StepOf } from '../../plan/plan.js';
import type { StepTable } from './steps.js';

type Pool = 'maxPool2d' | 'maxPool2dBackward' | 'avgPool2d' | 'avgPool2dBackward';

/** Visits each output value with the indices in x of its window's pixels inside the image. */
function eachWindow(
  step: StepOf<Pool>,
  x: Slot,
  y: Slot,
  visit: (out: number, inside: readonly number[]) => void,
): void {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW] = y.shape as [number, number, number, number];
  for (let n = 0; n < N; n++) {
    for (let oh = 0; oh < OH; oh++) {
      for (let ow = 0; ow < OW; ow++) {
        const pixels: number[] = [];
        for (let r = 0; r < step.kernelHeight; r++) {
          const h = oh * step.stride - step.padding + r;
          for (let s = 0; s < step.kernelWidth; s++) {
            const w = ow * step.stride - step.padding + s;
            if (h >= 0 && h < H && w >= 0 && w < W) pixels.push(((n * H + h) * W + w) * C);
          }
        }
        for (let c = 0; c < C; c++) {
          const out = ((n * OH + oh) * OW + ow) * C + c;
          const inside = pixels.map((pixel) => pixel + c);
          visit(out, inside);
        }
      }
    }
  }
}

/** The index of the first largest value; a NaN counts as the largest, as in PyTorch. */
function largest(x: Float32Array, indices: readonly number[]): number {
  return indices.reduce((best, i) => (x[i]! > x[best]! || Number.isNaN(x[i]!) ? i : best));
}

export const poolSteps: StepTable<Pool> = {
  maxPool2d(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    eachWindow(step, step.x, step.y, (out, inside) => {
      y[out] = x[largest(x, inside)]!;
    });
  },

  maxPool2dBackward(step, arena) {
    const [dy, x, dx] = [arena.f32(step.dy), arena.f32(step.x), arena.f32(step.dx)];
    const sums = new Float64Array(dx.length);
    eachWindow(step, step.x, step.dy, (out, inside) => {
      sums[largest(x, inside)]! += dy[out]!;
    });
    dx.set(sums);
  },

  avgPool2d(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    const count = step.kernelHeight * step.kernelWidth;
    eachWindow(step, step.x, step.y, (out, inside) => {
      y[out] = inside.reduce((sum, i) => sum + x[i]!, 0) / count;
    });
  },

  avgPool2dBackward(step, arena) {
    const [dy, dx] = [arena.f32(step.dy), arena.f32(step.dx)];
    const count = step.kernelHeight * step.kernelWidth;
    const sums = new Float64Array(dx.length);
    eachWindow(step, step.dx, step.dy, (out, inside) => {
      for (const i of inside) sums[i]! += dy[out]! / count;
    });
    dx.set(sums);
  },
};
