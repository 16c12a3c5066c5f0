/**
 * What is measured while training and evaluating, on the host in float64: cross-entropy, top-1
 * accuracy, the confusion matrix and per-class precision and recall.
 */

/** Row: true class, column: predicted class, value: images. */
export type ConfusionMatrix = readonly (readonly number[])[];

/** Sums over images; plain data, so that a checkpoint carries them into the middle of an epoch. */
export interface RunningSums {
  /** Cross-entropies of all images, in order. */
  readonly lossSum: number;
  readonly correct: number;
  readonly images: number;
}

export const noImages: RunningSums = { lossSum: 0, correct: 0, images: 0 };

/** The sums after one more batch. */
export function addBatch(
  sums: RunningSums,
  logits: Float32Array, // (N, classes)
  labels: Int32Array, // (N)
): RunningSums {
  const classes = logits.length / labels.length;
  let { lossSum, correct } = sums;
  labels.forEach((label, n) => {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    lossSum += crossEntropyOf(row, label);
    if (argmax(row) === label) correct++;
  });
  return { lossSum, correct, images: sums.images + labels.length };
}

export const meanLoss = ({ lossSum, images }: RunningSums) => lossSum / images;

/** Share of images whose largest logit is their class; 0 to 1. */
export const top1 = ({ correct, images }: RunningSums) => correct / images;

/** -log softmax(logits)(label), the maximum subtracted first. */
export function crossEntropyOf(logits: Float32Array, label: number): number {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return Math.log(sum) - (logits[label]! - largest);
}

/** Probabilities in float64; they add up to 1. */
export function softmax(logits: Float32Array): number[] {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const exponentials = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

/** The first of the largest. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

export function emptyConfusion(classes: number): number[][] {
  return Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
}

/** Counts one batch into `confusion`. */
export function countInto(
  confusion: number[][],
  logits: Float32Array, // (N, classes)
  labels: Int32Array, // (N)
): void {
  const classes = confusion.length;
  labels.forEach((label, n) => {
    confusion[label]![argmax(logits.subarray(n * classes, (n + 1) * classes))]!++;
  });
}

/** Of the images called k, the share that are k; null where none was called so. */
export function precisionPerClass(confusion: ConfusionMatrix): (number | null)[] {
  return confusion.map((row, k) =>
    ratio(
      row[k]!,
      confusion.reduce((sum, other) => sum + other[k]!, 0),
    ),
  );
}

/** Of the images that are k, the share called k; null where there is none. */
export function recallPerClass(confusion: ConfusionMatrix): (number | null)[] {
  return confusion.map((row, k) =>
    ratio(
      row[k]!,
      row.reduce((sum, count) => sum + count, 0),
    ),
  );
}

const ratio = (part: number, whole: number) => (whole === 0 ? null : part / whole);
