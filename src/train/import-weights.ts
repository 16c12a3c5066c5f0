/** A checkpoint of plusx from weights that another program trained. */
import path from 'node:path';
import type { ExifPolicy } from '../data/decode.js';
import {
  CenterCrop,
  Compose,
  imagenet,
  Normalize,
  Resize,
  ToTensor,
  type Preprocessing,
} from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import { readWeights, type WeightFormat, type WeightOptions } from '../formats/weights.js';
import { networkOptionsOf, networkText, type NetworkOptions } from '../models/options.js';
import { createModel, modelDefaults } from '../models/registry.js';
import { saveCheckpoint } from './checkpoint.js';
import { expectMatch, matchWeights } from './match-weights.js';

export interface ImportOptions extends NetworkOptions, WeightOptions {
  /** The network's name, as in `modelNames`. */
  readonly model: string;
  /** Default: as many as there are names, else the network's own. */
  readonly classes?: number | undefined;
  /** By label. Default: `0`, `1`, … */
  readonly classNames?: readonly string[] | undefined;
  /** Side of the images in pixels. Default: what the network was made for, 224 or 32. */
  readonly imageSize?: number | undefined;
  /**
   * Shorter side of an image before its middle is cut out, in pixels. Default: 256/224 of the image
   * size; for CIFAR's networks the image size itself, which leaves CIFAR's images as they are.
   */
  readonly resize?: number | undefined;
  /** Of the three channels, for pixels in [0, 1]. Default ImageNet's. */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
  /** Default `honour`. */
  readonly exif?: ExifPolicy | undefined;
}

export interface ImportReport {
  readonly file: string;
  readonly format: WeightFormat;
  readonly checkpoint: string;
  /** For people: `resnet20 (shortcut B)`. */
  readonly model: string;
  readonly classes: readonly string[];
  readonly parameters: number;
  readonly preprocessing: Preprocessing;
  /** What was undone and renamed, for people. */
  readonly notes: readonly string[];
}

/** Networks for images of this side or less take them whole. */
const smallImage = 32;

/**
 * Reads the weights in `file`, finds each of the model's tensors in them and writes the checkpoint
 * `out`, with which `evaluate`, `predict` and `Classifier` work. Nothing in `file` is executed.
 * Throws PlusxError `weights-mismatch` where they are not the model's, `weights-not-finite`,
 * `checkpoint-…` where the file cannot be read, and `option`.
 */
export async function importWeights(
  file: string,
  out: string,
  options: ImportOptions,
): Promise<ImportReport> {
  const preprocessing = preprocessingOf(options);
  const classes = classesOf(options);
  const network = networkOptionsOf(options);
  const model = createModel(options.model, { ...network, classes: classes.length });
  if (path.resolve(out) === path.resolve(file)) {
    throw new PlusxError('option', `import: --out is ${out} itself; name another file`, { out });
  }
  const weights = await readWeights(file, { entry: options.entry });
  const match = matchWeights(weights, model);
  const text = networkText({ ...network, model: options.model });
  expectMatch(match, file, `${text} with ${classes.length} classes`);
  await saveCheckpoint(out, {
    model: { name: options.model, ...network },
    classes,
    preprocessing,
    training: null,
    state: match.state,
  });
  return {
    file,
    format: weights.format,
    checkpoint: out,
    model: text,
    classes,
    parameters: model.parameterCount(),
    preprocessing: preprocessing.toJSON(),
    notes: [...weights.notes, ...match.notes],
  };
}

function preprocessingOf(options: ImportOptions): Compose {
  const { model, exif = 'honour', mean = imagenet.mean, std = imagenet.std } = options;
  const own = modelDefaults(model).imageSize;
  const imageSize = options.imageSize ?? own;
  const usual = own <= smallImage ? imageSize : Math.round((imageSize * 256) / 224);
  const transforms = [
    new Resize(options.resize ?? usual),
    new CenterCrop(imageSize),
    new ToTensor(),
    new Normalize({ mean, std }),
  ];
  return new Compose(transforms, { exif });
}

function classesOf({ model, classes, classNames }: ImportOptions): readonly string[] {
  if (!classNames) {
    return Array.from({ length: classes ?? modelDefaults(model).classes }, (_, i) => String(i));
  }
  const twice = classNames.find((name, i) => classNames.indexOf(name) !== i);
  const problem =
    classNames.length === 0 || classNames.includes('')
      ? 'one of them is empty'
      : twice !== undefined
        ? `"${twice}" is there twice`
        : classes !== undefined && classes !== classNames.length
          ? `there are ${classNames.length} of them, and classes is ${classes}`
          : null;
  if (problem === null) return classNames;
  throw new PlusxError('option', `import: the class names do not do: ${problem}`, { classNames });
}
