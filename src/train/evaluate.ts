/** What a checkpoint says about images: accuracy on a labelled folder, classes of single files. */
import type { ExifPolicy } from '../data/decode.js';
import { badImagesError, checkImages, type BadImage } from '../data/doctor.js';
import { openEvaluation } from '../data/open.js';
import { DataLoader } from '../data/loader.js';
import { Compose } from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import { Classifier, type ClassProbability, type DeviceOptions } from './classifier.js';
import { measure } from './measure.js';
import {
  meanLoss,
  precisionPerClass,
  recallPerClass,
  top1,
  type ConfusionMatrix,
} from './metrics.js';

export type { ClassProbability, DeviceOptions } from './classifier.js';

export interface EvaluateOptions extends DeviceOptions {
  /** Goes on without images that cannot be read. Default false. */
  readonly skipBad?: boolean | undefined;
  /** Default: as the checkpoint was trained. */
  readonly exif?: ExifPolicy | undefined;
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
  readonly skipped: readonly BadImage[];
  readonly seconds: number;
  readonly imagesPerSecond: number;
  readonly device: string;
}

export interface Prediction {
  readonly path: string;
  /** All classes, the most probable first. */
  readonly classes: readonly ClassProbability[];
}

/**
 * Accuracy of a checkpoint on `folder`: its `val/`, else its `test/`, else `<class>/…` itself; of
 * `cifar10:<folder>` on the test batch.
 * Throws where the folder has a class that the checkpoint does not know.
 */
export async function evaluate(
  checkpoint: string,
  folder: string,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { skipBad = false, exif, onProgress, batchSize = 8 } = options;
  const classifier = await Classifier.load(checkpoint, options);
  try {
    const { classes, preprocessing, session, device } = classifier;
    const transform = exif ? Compose.fromJSON({ ...preprocessing.toJSON(), exif }) : preprocessing;
    const { dataset, bad } = await checkImages(await openEvaluation(folder, transform, classes));
    if (bad.length > 0 && !skipBad) throw badImagesError(bad);
    if (dataset.length === 0) {
      throw new PlusxError(
        'folder-empty',
        `${folder}: none of its ${bad.length} images can be read; add good images`,
        { bad },
      );
    }
    const begin = performance.now();
    const loader = new DataLoader(dataset, { batchSize: Math.min(batchSize, dataset.length) });
    const { sums, confusion } = (await measure(session, loader, classes.length, { onProgress }))!;
    const seconds = (performance.now() - begin) / 1000;
    return {
      checkpoint,
      folder,
      top1: top1(sums),
      loss: meanLoss(sums),
      images: sums.images,
      classes,
      confusion,
      precision: precisionPerClass(confusion),
      recall: recallPerClass(confusion),
      skipped: bad,
      seconds,
      imagesPerSecond: sums.images / seconds,
      device,
    };
  } finally {
    await classifier.dispose();
  }
}

/** The classes of single image files, in the order of `paths`. */
export async function predict(
  checkpoint: string,
  paths: readonly string[],
  options: DeviceOptions = {},
): Promise<Prediction[]> {
  const batchSize = Math.max(1, Math.min(options.batchSize ?? 8, paths.length));
  const classifier = await Classifier.load(checkpoint, { ...options, batchSize });
  try {
    const predictions: Prediction[] = [];
    for (let start = 0; start < paths.length; start += batchSize) {
      const batch = paths.slice(start, start + batchSize);
      const classes = await classifier.classifyBatch(batch);
      batch.forEach((path, i) => predictions.push({ path, classes: classes[i]! }));
    }
    return predictions;
  } finally {
    await classifier.dispose();
  }
}
