/**
 * Data by the name that a person gives it: a folder of photographs, or `cifar10:<folder>`. The way
 * from a name to labelled images, to train on and to evaluate with.
 */
import type { ExifPolicy } from './decode.js';
import { openCifar10, openCifar10Test } from './cifar10.js';
import { cifarSize } from './cifar10-files.js';
import { openDataset, openLabelled, type DatasetOptions } from './image-folder.js';
import type { LabelledImages, LabelledSplit } from './labelled-images.js';
import {
  CenterCrop,
  Compose,
  imagenet,
  Normalize,
  Resize,
  standardPreprocessing,
  ToTensor,
} from './transforms.js';

const cifarPrefix = 'cifar10:';

/** The side of its images in pixels, where the data itself says it. */
export function ownImageSize(source: string): number | undefined {
  return source.startsWith(cifarPrefix) ? cifarSize : undefined;
}

/** Photographs lose their border; CIFAR-10's images are taken whole, as they are at 32 pixels. */
export function preprocessingFor(source: string, imageSize: number, exif: ExifPolicy): Compose {
  if (!source.startsWith(cifarPrefix)) return standardPreprocessing(imageSize, exif);
  const transforms = [
    new Resize(imageSize),
    new CenterCrop(imageSize),
    new ToTensor(),
    new Normalize(imagenet),
  ];
  return new Compose(transforms, { exif });
}

/** Images to train on and images held out; throws where the folder is not what its name says. */
export async function openTraining(
  source: string,
  options: DatasetOptions,
): Promise<LabelledSplit> {
  const folder = cifarFolder(source);
  return folder === null ? openDataset(source, options) : openCifar10(folder, options.transform);
}

/** Labelled images whose classes must be among `classes`. */
export async function openEvaluation(
  source: string,
  transform: Compose,
  classes: readonly string[],
): Promise<LabelledImages> {
  const folder = cifarFolder(source);
  if (folder === null) return openLabelled(source, transform, classes);
  return openCifar10Test(folder, transform, classes);
}

function cifarFolder(source: string): string | null {
  return source.startsWith(cifarPrefix) ? source.slice(cifarPrefix.length) || '.' : null;
}
