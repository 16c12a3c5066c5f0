/** Medians, ranges, and ratios of two sides that took turns. */

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly n: number;
}

export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new Error('internal: a summary of no values');
  const sorted = [...values].sort((a, b) => a - b);
  const { length: n } = sorted;
  const median = (sorted[(n - 1) >> 1]! + sorted[n >> 1]!) / 2;
  return { median, min: sorted[0]!, max: sorted[n - 1]!, n };
}

/**
 * a/b turn by turn. Both turns of a pair lie close together, so that what disturbs the machine for
 * a while disturbs both: the median of ratios says more than the ratio of medians.
 */
export function pairRatios(a: readonly number[], b: readonly number[]): Summary {
  if (a.length !== b.length) throw new Error(`internal: ${a.length} turns against ${b.length}`);
  return summarize(a.map((value, i) => value / b[i]!));
}

/** The entry with the smallest median; undefined of none. */
export function fastest<T>(entries: readonly T[], values: (entry: T) => readonly number[]) {
  let best: T | undefined;
  for (const entry of entries) {
    if (!best || summarize(values(entry)).median < summarize(values(best)).median) best = entry;
  }
  return best;
}
