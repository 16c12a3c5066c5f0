/** Gives out pieces of a WebAssembly memory: first fit, neighbours joined again when freed. */
import { bytesText, PlusxError } from '../../errors.js';
import { roundUp } from '../../plan/algorithms.js';
import { slotAlignment } from '../../plan/plan.js';

interface Piece {
  start: number;
  end: number;
}

export class Heap {
  /** In the order of their addresses, all below `base`. */
  private readonly free: Piece[] = [];

  /** Hands out addresses from `base` to `bytes`. */
  constructor(
    private readonly bytes: number,
    private base: number,
  ) {
    this.base = roundUp(base, slotAlignment);
  }

  /** The address of `bytes` bytes, aligned to a slot, of any content; throws `out-of-memory`. */
  allocate(bytes: number): number {
    const size = roundUp(bytes, slotAlignment);
    const piece = this.free.find(({ start, end }) => end - start >= size);
    if (!piece) return this.extend(size);
    const address = piece.start;
    piece.start += size;
    if (piece.start === piece.end) this.free.splice(this.free.indexOf(piece), 1);
    return address;
  }

  /** Takes back what `allocate(bytes)` gave. */
  release(address: number, bytes: number): void {
    this.free.push({ start: address, end: address + roundUp(bytes, slotAlignment) });
    this.free.sort((a, b) => a.start - b.start);
    for (let i = this.free.length - 1; i > 0; i--) {
      if (this.free[i - 1]!.end !== this.free[i]!.start) continue;
      this.free[i - 1]!.end = this.free[i]!.end;
      this.free.splice(i, 1);
    }
    const last = this.free.at(-1);
    if (last && last.end === this.base) {
      this.base = last.start;
      this.free.pop();
    }
  }

  private extend(size: number): number {
    const address = this.base;
    const rest = this.bytes - address;
    if (size > rest) {
      const pieces = this.free.map(({ start, end }) => end - start);
      throw outOfMemory(size, Math.max(rest, ...pieces));
    }
    this.base += size;
    return address;
  }
}

function outOfMemory(needed: number, available: number): PlusxError {
  return new PlusxError(
    'out-of-memory',
    `this run needs ${bytesText(needed)}, WebAssembly has at most ${bytesText(available)} left; ` +
      'use a smaller batch, smaller images, or the native engine ("npx plusx build-native")',
    { needed, available },
  );
}
