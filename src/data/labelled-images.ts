/** What training and evaluation ask of data: images with labels, wherever they lie. */
import type { ImageSource } from './loader.js';
import type { Compose } from './transforms.js';

export interface Sample {
  /** Where it lies, for people: a file, or `data_batch_1.bin#17` for an image in one. */
  readonly file: string;
  /** Index into the classes. */
  readonly label: number;
}

export interface LabelledImages extends ImageSource {
  /** By label. */
  readonly classes: readonly string[];
  readonly samples: readonly Sample[];
  /** What makes of each image the bytes that `load` returns. */
  readonly transform: Compose;
  /** The same classes with only some of the samples. */
  subset(samples: readonly Sample[]): LabelledImages;
  /** How many images each class has. */
  countByClass(): Record<string, number>;
  /** Says of a sample where it lies and what it is, so that a change of either is noticed. */
  identity(index: number): string;
}

/** How many of the samples each class has. */
export function countByClass(
  classes: readonly string[],
  samples: readonly Sample[],
): Record<string, number> {
  const counts = classes.map(() => 0);
  for (const { label } of samples) counts[label]!++;
  return Object.fromEntries(classes.map((name, label) => [name, counts[label]!]));
}

/** Images to train on and images held out. */
export interface LabelledSplit {
  readonly train: LabelledImages;
  readonly val: LabelledImages;
}
