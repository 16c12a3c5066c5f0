/**
 * What a file from outside may cost and how its names are shown: memory is counted before it is
 * taken, names are made harmless before they reach a terminal.
 */
import { PlusxError } from '../errors.js';

/** Bytes that every file may cost, however small it is. */
const base = 2 ** 20;

/** Counts memory down from a small multiple of what the file holds. */
export class MemoryBudget {
  /** Bytes taken so far. */
  taken = 0;
  readonly limit: number;

  constructor(
    private readonly file: string,
    fileBytes: number,
    factor: number,
  ) {
    this.limit = base + factor * fileBytes;
  }

  /** Throws PlusxError `checkpoint-limit` instead of going beyond the limit. */
  take(bytes: number, what: string): void {
    this.taken += bytes;
    if (this.taken <= this.limit) return;
    throw new PlusxError(
      'checkpoint-limit',
      `${this.file}: ${what} would need more than ${this.limit} bytes of memory, far more than ` +
        'the file itself; no program that saves weights writes such a file: do not trust it',
      { file: this.file, what, limit: this.limit },
    );
  }
}

const shownLength = 100;

/** A name from a file, in quotes: short, on one line, without control characters. */
export function quoted(name: string): string {
  const short = name.length > shownLength ? `${name.slice(0, shownLength)}…` : name;
  return JSON.stringify(short).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
