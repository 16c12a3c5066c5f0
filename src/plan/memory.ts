/**
 * Where each buffer lies in the arena. Buffers whose lives do not overlap share memory.
 *
 * Greedy by size: the largest buffer first, each at the lowest place that no buffer of the same
 * time takes. Source: Pisarchyk and Lee 2020, arXiv 2001.03288, section 5.2.
 */
import { roundUp } from './algorithms.js';
import { slotAlignment } from './plan.js';

/** A piece of memory and the steps during which it holds something. */
export interface Buffer {
  readonly bytes: number;
  /** First step that writes it. */
  first: number;
  /** Last step that reads or writes it, inclusive. */
  last: number;
}

export interface Placement {
  readonly offsets: ReadonlyMap<Buffer, number>;
  /** End of the last byte. */
  readonly bytes: number;
}

/** Places `buffers` behind the first `start` bytes of the arena. */
export function placeBuffers(buffers: readonly Buffer[], start: number): Placement {
  const offsets = new Map<Buffer, number>();
  let bytes = start;
  const largestFirst = [...buffers].sort((a, b) => b.bytes - a.bytes || a.first - b.first);
  for (const buffer of largestFirst) {
    const offset = lowestGap(buffer, offsets, start);
    offsets.set(buffer, offset);
    bytes = Math.max(bytes, offset + roundUp(buffer.bytes, slotAlignment));
  }
  return { offsets, bytes };
}

function lowestGap(buffer: Buffer, placed: ReadonlyMap<Buffer, number>, start: number): number {
  const neighbours = [...placed]
    .filter(([other]) => other.first <= buffer.last && buffer.first <= other.last)
    .sort(([, a], [, b]) => a - b);
  const size = roundUp(buffer.bytes, slotAlignment);
  let offset = start;
  for (const [other, otherOffset] of neighbours) {
    if (offset + size <= otherOffset) break;
    offset = Math.max(offset, otherOffset + roundUp(other.bytes, slotAlignment));
  }
  return offset;
}
