/** Max, average and adaptive average pooling and their gradients. */
import type { Slot, StepOf } from '../../plan/plan.js';
import type { StepTable } from './steps.js';

type Sliding = 'maxPool2d' | 'maxPool2dBackward' | 'avgPool2d' | 'avgPool2dBackward';
type Pool = Sliding | 'adaptiveAvgPool2d' | 'adaptiveAvgPool2dBackward';

/**
 * Visits each output value with the indices in x of its window's pixels inside the image, and the
 * number of pixels in the image and its padding.
 */
function eachWindow(
  step: StepOf<Sliding>,
  x: Slot,
  y: Slot,
  visit: (out: number, inside: readonly number[], counted: number) => void,
): void {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [, OH, OW] = y.shape as [number, number, number, number];
  for (let n = 0; n < N; n++) {
    for (let oh = 0; oh < OH; oh++) {
      for (let ow = 0; ow < OW; ow++) {
        const pixels: number[] = [];
        let counted = 0;
        for (let r = 0; r < step.kernelHeight; r++) {
          const h = oh * step.stride - step.padding + r;
          for (let s = 0; s < step.kernelWidth; s++) {
            const w = ow * step.stride - step.padding + s;
            if (h < H + step.padding && w < W + step.padding) counted++;
            if (h >= 0 && h < H && w >= 0 && w < W) pixels.push(((n * H + h) * W + w) * C);
          }
        }
        for (let c = 0; c < C; c++) {
          const out = ((n * OH + oh) * OW + ow) * C + c;
          const inside = pixels.map((pixel) => pixel + c);
          visit(out, inside, counted);
        }
      }
    }
  }
}

/** Visits each output value with the indices in x of the pixels that it is the mean of. */
function eachAdaptiveWindow(
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
        for (let h = Math.floor((oh * H) / OH); h < Math.ceil(((oh + 1) * H) / OH); h++) {
          for (let w = Math.floor((ow * W) / OW); w < Math.ceil(((ow + 1) * W) / OW); w++) {
            pixels.push(((n * H + h) * W + w) * C);
          }
        }
        const out = ((n * OH + oh) * OW + ow) * C;
        for (let c = 0; c < C; c++) {
          visit(
            out + c,
            pixels.map((pixel) => pixel + c),
          );
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
    eachWindow(step, step.x, step.y, (out, inside, counted) => {
      const count = step.countIncludePad ? counted : inside.length;
      y[out] = inside.reduce((sum, i) => sum + x[i]!, 0) / count;
    });
  },

  avgPool2dBackward(step, arena) {
    const [dy, dx] = [arena.f32(step.dy), arena.f32(step.dx)];
    const sums = new Float64Array(dx.length);
    eachWindow(step, step.dx, step.dy, (out, inside, counted) => {
      const count = step.countIncludePad ? counted : inside.length;
      for (const i of inside) sums[i]! += dy[out]! / count;
    });
    dx.set(sums);
  },

  adaptiveAvgPool2d(step, arena) {
    const [x, y] = [arena.f32(step.x), arena.f32(step.y)];
    eachAdaptiveWindow(step.x, step.y, (out, inside) => {
      y[out] = inside.reduce((sum, i) => sum + x[i]!, 0) / inside.length;
    });
  },

  adaptiveAvgPool2dBackward(step, arena) {
    const [dy, dx] = [arena.f32(step.dy), arena.f32(step.dx)];
    const sums = new Float64Array(dx.length);
    eachAdaptiveWindow(step.dx, step.dy, (out, inside) => {
      for (const i of inside) sums[i]! += dy[out]! / inside.length;
    });
    dx.set(sums);
  },
};
