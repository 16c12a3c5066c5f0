/**
 * Two things that a compiler does to loads without a word, on x86-64: reads the assembly that it writes.
 *
 * GCC makes one instruction of a load and a mask that follows it; that one waits for what the mask is
 * computed from, and of two streams from memory one waits for the other (`unmasked` in vector.h). And
 * a function that only prefetches it takes for one without effect, and leaves its calls out.
 */
import { named, routinesOf } from './assembly.js';

/** Kernels that read gradients at the speed of memory. */
export const streamingKernels: readonly string[] = [
  'batchNormBackwardInput',
  'batchNormBackwardSums',
  'reluBackwardSums',
  'reluBackward',
  'gatherWeight',
];

/** Functions, each with the places in its source that fetch what is read later. */
export const fetchingFunctions: readonly (readonly [name: string, places: number])[] = [
  ['runGather', 3],
];

const maskedLoad = /^vmaskmov|\(%r[^)]*\).*%[xyz]mm\d+\{%k\d\}/;

/** The masked loads of a function; undefined where there is no such function. */
export function maskedLoads(assembly: string, name: string): string[] | undefined {
  const routines = named(routinesOf(assembly), name);
  if (routines.length === 0) return undefined;
  return routines.flatMap(({ lines }) => lines.filter((line) => maskedLoad.test(line)));
}

/** The most prefetches that one instance of a function has. */
export function prefetches(assembly: string, name: string): number {
  const counts = named(routinesOf(assembly), name).map(
    ({ lines }) => lines.filter((line) => line.startsWith('prefetch')).length,
  );
  return Math.max(0, ...counts);
}
