/** Accuracy and loss of a session's weights on labelled images, in evaluation mode. */
import type { DataLoader } from '../data/loader.js';
import { addBatch, countInto, emptyConfusion, noImages } from './metrics.js';
import type { ConfusionMatrix, RunningSums } from './metrics.js';
import type { Session } from './session.js';

export interface Measured {
  readonly sums: RunningSums;
  readonly confusion: ConfusionMatrix;
}

export interface MeasureOptions {
  /** After each batch. */
  readonly onProgress?: ((images: number, total: number) => void) | undefined;
  /** Once aborted, null is returned. */
  readonly signal?: AbortSignal | undefined;
}

/** Runs every image once, in order; `classes` is the number of classes. */
export async function measure(
  session: Session,
  loader: DataLoader,
  classes: number,
  { onProgress, signal }: MeasureOptions = {},
): Promise<Measured | null> {
  let sums = noImages;
  const confusion = emptyConfusion(classes);
  for await (const { images, labels } of loader.epoch(0)) {
    if (signal?.aborted) return null;
    const logits = await session.logits(images);
    sums = addBatch(sums, logits, labels);
    countInto(confusion, logits, labels);
    onProgress?.(sums.images, loader.source.length);
  }
  return { sums, confusion };
}
