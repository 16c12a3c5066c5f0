/** How much memory there is for an engine: of the machine, or of the container that it runs in. */
import os from 'node:os';

/** Bytes that this process may use at most. */
export function totalMemory(): number {
  return Math.min(os.totalmem(), process.constrainedMemory() || Infinity);
}

/** Bytes that are left for it now. */
export function freeMemory(): number {
  return Math.min(os.freemem(), totalMemory());
}
