/** What a checkpoint says about images: accuracy on a labelled folder, classes of single files. */
import type { DeviceChoice } from '../backend/devices.js';
import type { ConfusionMatrix } from './metrics.js';
import type { ExifChoice, SkippedImage } from './train-options.js';

export interface DeviceOptions {
  /** Default `auto`. */
  readonly device?: DeviceChoice | undefined;
  /** Default: the processors that this process may use. */
  readonly threads?: number | undefined;
  /** Images a run of the network; changes no result. Default 8. */
  readonly batchSize?: number | undefined;
  /** Hears why `auto` did not take the fastest engine. */
  readonly onNotice?: ((line: string) => void) | undefined;
}

export interface EvaluateOptions extends DeviceOptions {
  /** Goes on without images that cannot be read. Default false. */
  readonly skipBad?: boolean | undefined;
  /** Default: as the checkpoint was trained. */
  readonly exif?: ExifChoice | undefined;
  /** After each batch. */
  readonly onProgress?: ((images: number, total: number) => void) | undefined;
}

export interface Evaluation {
  readonly checkpoint: string;
  readonly folder: string;
  /** Share of images, 0 to 1. */
  readonly top1: number;
  /** Mean cross-entropy. */
  readonly loss: number;
  readonly images: number;
  readonly classes: readonly string[];
  /** Rows: true class, columns: predicted class. */
  readonly confusion: ConfusionMatrix;
  /** By class; null where no image was called so. */
  readonly precision: readonly (number | null)[];
  /** By class; null where the folder has no image of it. */
  readonly recall: readonly (number | null)[];
  readonly skipped: readonly SkippedImage[];
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly device: string;
}

export interface ClassProbability {
  readonly class: string;
  readonly probability: number;
}

export interface Prediction {
  readonly path: string;
  /** All classes, the most probable first. */
  readonly classes: readonly ClassProbability[];
}

/** Accuracy of a checkpoint on `folder`: `<class>/…`, or its `val/`, else its `test/`. */
export function evaluate(
  checkpoint: string,
  folder: string,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  return Promise.reject(new Error(`internal: ${checkpoint} ${folder} ${String(options.device)}`));
}

/** The classes of single image files, in the order of `paths`. */
export function predict(
  checkpoint: string,
  paths: readonly string[],
  options: DeviceOptions = {},
): Promise<Prediction[]> {
  return Promise.reject(new Error(`internal: ${checkpoint} ${paths[0]} ${String(options.device)}`));
}
