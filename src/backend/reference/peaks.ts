/**
 * How fast plain TypeScript is at most on this machine, by the loops of native/kernels/measure: one
 * thread, numbers in place of vectors, in float64 as the reference computes.
 */
import type { Peaks } from '../backend.js';
import { peaksMemoryBytes } from '../peaks.js';

const seconds = 0.25;
const rounds = 1_000_000;

export async function measurePeaks(): Promise<Peaks> {
  const x = new Float32Array(peaksMemoryBytes / Float32Array.BYTES_PER_ELEMENT);
  return {
    flopsPerSecond: await fastest(multiplyAdds),
    bytesPerSecond: await fastest(() => stream(x)),
  };
}

/** The best rate of `pass`, which returns its amount of work. The first pass warms up. */
async function fastest(pass: () => number): Promise<number> {
  pass();
  let best = 0;
  const end = performance.now() + 1000 * seconds;
  do {
    const start = performance.now();
    const work = pass();
    best = Math.max(best, (1000 * work) / (performance.now() - start));
    await new Promise(setImmediate);
  } while (performance.now() < end);
  return best;
}

/** a ← a·b + c, eight times beside each other. */
function multiplyAdds(): number {
  const [b, c] = [0.5, 1];
  let [a0, a1, a2, a3, a4, a5, a6, a7] = [0, 1, 2, 3, 4, 5, 6, 7];
  for (let round = 0; round < rounds; round++) {
    a0 = a0 * b + c;
    a1 = a1 * b + c;
    a2 = a2 * b + c;
    a3 = a3 * b + c;
    a4 = a4 * b + c;
    a5 = a5 * b + c;
    a6 = a6 * b + c;
    a7 = a7 * b + c;
  }
  // The sum is used: else there would be nothing to compute.
  const sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
  return Number.isNaN(sum) ? 0 : 2 * 8 * rounds;
}

/** x(i) ← 1 - x(i) */
function stream(x: Float32Array): number {
  for (let i = 0; i < x.length; i++) x[i] = 1 - x[i]!;
  return 2 * x.byteLength;
}
