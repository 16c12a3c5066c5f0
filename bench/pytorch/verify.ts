/** Verify, then time: whether all sides of a row compute the same numbers. */

/** Thrown where two sides differ: there is nothing to be timed. */
export class Disagreement extends Error {}

export interface Agreement {
  /** Of a value, by the largest magnitude of its kind. */
  readonly largestDifference: number;
  readonly tolerance: number;
  /** Numbers compared a side. */
  readonly count: number;
}

export interface Computed {
  readonly title: string;
  readonly values: readonly number[];
}

/**
 * Of losses and logits, by the largest magnitude among them. A sum of K float32 products whose
 * roundings are independent errs by √K·2⁻²⁴: 4e-6 where the sum is longest, K = 4608 in the last
 * stage. 1e-5 leaves room for the layers around it; a wrong gradient shows, for in one step a loss
 * moves by a hundredth. A bf16 number errs by at most 2⁻⁹, and a loss is a mean over many of them.
 */
const tolerances = { fp32: 1e-5, bf16: 2 ** -9 };

/** Compares every side with the first; throws Disagreement, naming both and their values. */
export function compare(
  what: string,
  precision: keyof typeof tolerances,
  [reference, ...others]: readonly Computed[],
): Agreement {
  const tolerance = tolerances[precision];
  const expected = reference?.values ?? [];
  const scale = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  let largestDifference = 0;
  for (const { title, values } of others) {
    if (values.length !== expected.length) {
      throw new Disagreement(
        `${what}: ${title} computed ${values.length}, ${reference!.title} ${expected.length} values`,
      );
    }
    values.forEach((value, i) => {
      const difference = Math.abs(value - expected[i]!) / scale;
      // Written so that NaN is no agreement.
      if (!(difference <= tolerance)) {
        throw new Disagreement(
          `${what} ${i + 1} of ${values.length}: ${title} has ${value}, ` +
            `${reference!.title} ${expected[i]}; they differ by ${difference.toExponential(1)}, ` +
            `more than ${tolerance.toExponential(1)}`,
        );
      }
      largestDifference = Math.max(largestDifference, difference);
    });
  }
  return { largestDifference, tolerance, count: expected.length };
}
