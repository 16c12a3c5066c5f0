/**
 * Counter-based randomness: a number is a function of its key and counter, so that it does not
 * matter who draws it, in which order, or after which resume.
 *
 * Philox 4×32-10: Salmon et al. 2011, Parallel Random Numbers: As Easy as 1, 2, 3, section 3.
 */

export type Words = [number, number, number, number];

const roundMultiplierA = 0xd2511f53;
const roundMultiplierB = 0xcd9e8d57;
const keyIncrementA = 0x9e3779b9;
const keyIncrementB = 0xbb67ae85;

/** Four random 32-bit words (unsigned) for a counter of four words and a key of two. */
export function philox4x32(counter: Readonly<Words>, key: readonly [number, number]): Words {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const lowA = Math.imul(roundMultiplierA, c0) >>> 0;
    const highA = multiplyHigh(roundMultiplierA, c0);
    const lowB = Math.imul(roundMultiplierB, c2) >>> 0;
    const highB = multiplyHigh(roundMultiplierB, c2);
    [c0, c1, c2, c3] = [(highB ^ c1 ^ k0) >>> 0, lowB, (highA ^ c3 ^ k1) >>> 0, lowA];
    k0 = (k0 + keyIncrementA) >>> 0;
    k1 = (k1 + keyIncrementB) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The upper 32 bits of a product of unsigned 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

/** What randomness is for: each use has its own stream, so that none disturbs another. */
export type Stream = 'init' | 'shuffle' | 'split' | 'demo' | 'bench' | 'dropout';

const streamNumbers: Readonly<Record<Stream, number>> = {
  init: 1,
  shuffle: 2,
  split: 3,
  demo: 4,
  bench: 5,
  dropout: 6,
};

/** The key of a stream; seeds beyond 32 bits count in full. */
function keyOf(seed: number, stream: Stream): readonly [number, number] {
  return [seed >>> 0, (streamNumbers[stream] ^ Math.floor(seed / 2 ** 32)) >>> 0];
}

/**
 * What the dropout masks of a training step, or of its micro-batch number `part`, are functions of:
 * the key's two words, then the step's, whose upper 16 bits count the parts.
 */
export function dropoutWords(seed: number, step: number, part = 0): Int32Array {
  return Int32Array.of(...keyOf(seed, 'dropout'), step, Math.floor(step / 2 ** 32) | (part << 16));
}

/**
 * A sequence of random numbers that is fixed by (seed, stream, index): for instance the shuffle of
 * epoch `index`.
 */
export class Random {
  private readonly key: readonly [number, number];
  private block: Words = [0, 0, 0, 0];
  private used = 4;
  private drawn = 0;

  constructor(
    seed: number,
    stream: Stream,
    private readonly index = 0,
  ) {
    this.key = keyOf(seed, stream);
  }

  /** An unsigned 32-bit word. */
  word(): number {
    if (this.used === 4) {
      const high = Math.floor(this.drawn / 2 ** 32);
      this.block = philox4x32([this.drawn >>> 0, high, this.index >>> 0, 0], this.key);
      this.drawn++;
      this.used = 0;
    }
    return this.block[this.used++]!;
  }

  /** Uniform in [low, high), with 32 random bits. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.word() / 2 ** 32);
  }

  /** Normal, by Box and Muller's transform. */
  normal(mean = 0, std = 1): number {
    const radius = Math.sqrt(-2 * Math.log((this.word() + 1) / 2 ** 32));
    return mean + std * radius * Math.cos((2 * Math.PI * this.word()) / 2 ** 32);
  }

  /** Uniform among 0 … n - 1, without the bias of a plain remainder. */
  below(n: number): number {
    const limit = 2 ** 32 - (2 ** 32 % n);
    for (;;) {
      const word = this.word();
      if (word < limit) return word % n;
    }
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** One of several. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** A random order of 0 … n - 1 (Fisher and Yates). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}
