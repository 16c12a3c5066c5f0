/**
 * How fast plain TypeScript is at most on this machine, by the loops of native/kernels/measure: one
 * thread, numbers in place of vectors, in float64 as the reference computes.
 */
import type { Peaks } from '../backend.js';
import { peaksMemoryBytes } from '../peaks.js';

const seconds = 0.25;
const [rounds, calls] = [1000, 1000];
const piece = 4096; // divides the memory

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

/**
 * Short, and called often: V8 optimises a function well once all of it has run, which a loop of
 * milliseconds would keep it from.
 */
function multiplyAdds(): number {
  let sum = 0;
  for (let call = 0; call < calls; call++) sum += multiplyAddChains();
  // The sum is used: else there would be nothing to compute.
  return Number.isNaN(sum) ? 0 : 2 * 8 * rounds * calls;
}

/** a ← a·b + c, eight times beside each other. */
function multiplyAddChains(): number {
  const [b, c] = [0.5, 1];
  let [a0, a1, a2, a3, a4, a5, a6, a7] = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5];
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
  return a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
}

function stream(x: Float32Array): number {
  for (let start = 0; start < x.length; start += piece) streamPiece(x, start);
  return 2 * x.byteLength;
}

/** x(i) ← 1 - x(i) */
function streamPiece(x: Float32Array, start: number): void {
  for (let i = start; i < start + piece; i++) x[i] = 1 - x[i]!;
}
