/** What backends agree on when they measure how fast the machine is at most. */
import type { Peaks } from './backend.js';

/** Memory to stream through: larger than the caches of most machines. */
export const peaksMemoryBytes = 256 * 2 ** 20;

/** From what native/executor/peaks.cpp writes: operations and bytes a second. */
export function peaksOf([flopsPerSecond, bytesPerSecond]: Float64Array): Peaks {
  return { flopsPerSecond: flopsPerSecond!, bytesPerSecond: bytesPerSecond! };
}
