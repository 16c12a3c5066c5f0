/**
 * A folder of labelled photographs: one folder a class, as torchvision's ImageFolder, and the ways
 * in which people lay out training and validation images.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { PlusxError } from '../errors.js';
import { Random } from '../random/philox.js';
import { decodeFile } from './decode.js';
import { countByClass, type LabelledImages, type Sample } from './labelled-images.js';
import type { Compose } from './transforms.js';

/** Those of torchvision and a few more; what cannot be decoded among them is named, not left out. */
const imageNames = /\.(jpe?g|jfif|png|webp|gif|tiff?|avif|heic|bmp|p[gpn]m)$/i;

/** Images with labels, and the preprocessing that turns each into bytes for the network. */
export class ImageFolder implements LabelledImages {
  /** Class names in alphabetical order; their positions are the labels. */
  readonly classes: readonly string[];
  readonly samples: readonly Sample[];

  /** Reads the class folders of `root`; throws where there are fewer than two with images. */
  constructor(
    readonly root: string,
    readonly transform: Compose,
    subset?: { readonly classes: readonly string[]; readonly samples: readonly Sample[] },
  ) {
    const { classes, samples } = subset ?? scan(root);
    this.classes = classes;
    this.samples = samples;
  }

  get length(): number {
    return this.samples.length;
  }

  label(index: number): number {
    return this.samples[index]!.label;
  }

  file(index: number): string {
    return this.samples[index]!.file;
  }

  /** The bytes (S, S, 3) of sample `index`; throws `image-unreadable` naming the file. */
  async load(index: number): Promise<Uint8Array> {
    const { exif } = this.transform;
    return this.transform.apply(await decodeFile(this.samples[index]!.file, { exif }));
  }

  /** The same classes with only some of the samples. */
  subset(samples: readonly Sample[]): ImageFolder {
    return new ImageFolder(this.root, this.transform, { classes: this.classes, samples });
  }

  /** How many images each class has. */
  countByClass(): Record<string, number> {
    return countByClass(this.classes, this.samples);
  }

  /** Where it lies below the folder, and its size. */
  identity(index: number): string {
    const { file } = this.samples[index]!;
    const place = path.relative(this.root, file).split(path.sep).join('/');
    return `${place}\0${statSync(file).size}`;
  }
}

export interface DatasetOptions {
  readonly transform: Compose;
  /** Share of each class that is held out where the folder has no `val` or `test`. Default 0.1. */
  readonly valSplit?: number;
  /** Of the split. Default 0. */
  readonly seed?: number;
}

export interface Dataset {
  readonly train: ImageFolder;
  readonly val: ImageFolder;
  /** Where the validation images come from: `val`, `test` or `split`. */
  readonly source: 'val' | 'test' | 'split';
}

/**
 * Opens a folder that holds `train/<class>/…` and `val/` or `test/`, or just `<class>/…`, from
 * which a stratified part is then held out.
 */
export function openDataset(folder: string, options: DatasetOptions): Dataset {
  const { transform, valSplit = 0.1, seed = 0 } = options;
  expectFolder(folder);
  const trainFolder = path.join(folder, 'train');
  const training = isFolder(trainFolder) ? trainFolder : folder;
  const all = new ImageFolder(training, transform);
  if (training === trainFolder) {
    for (const source of ['val', 'test'] as const) {
      const held = path.join(folder, source);
      if (isFolder(held)) return { train: all, val: openMatching(held, all), source };
    }
  }
  return { ...split(all, valSplit, seed), source: 'split' };
}

/** Opens labelled images whose classes must be among `classes`, for evaluation. */
export function openLabelled(
  folder: string,
  transform: Compose,
  classes: readonly string[],
): ImageFolder {
  expectFolder(folder);
  for (const name of ['val', 'test']) {
    const held = path.join(folder, name);
    if (isFolder(held) && !classes.includes(name)) return matching(held, transform, classes);
  }
  return matching(folder, transform, classes);
}

function openMatching(folder: string, train: ImageFolder): ImageFolder {
  return matching(folder, train.transform, train.classes);
}

function matching(folder: string, transform: Compose, classes: readonly string[]): ImageFolder {
  const found = scan(folder, 1);
  const labels = found.classes.map((name) => {
    const label = classes.indexOf(name);
    if (label >= 0) return label;
    throw new PlusxError(
      'class-unknown',
      `${folder}: class "${name}" is not among the ${classes.length} that are trained ` +
        `(${classes.join(', ')}); rename or remove its folder`,
      { name, classes },
    );
  });
  const samples = found.samples.map(({ file, label }) => ({ file, label: labels[label]! }));
  return new ImageFolder(folder, transform, { classes, samples });
}

function scan(root: string, leastClasses = 2): { classes: string[]; samples: Sample[] } {
  expectFolder(root);
  const classes = readdirSync(root)
    .filter((name) => !name.startsWith('.') && isFolder(path.join(root, name)))
    .sort(byCodePoint);
  if (classes.length < leastClasses) {
    const found = classes.length === 0 ? 'no class folder' : `one class only ("${classes[0]}")`;
    throw new PlusxError(
      'too-few-classes',
      `${root}: ${found}, at least ${leastClasses} ${leastClasses === 1 ? 'is' : 'are'} needed; ` +
        'put the images of each class into a folder of its own',
      { root, classes },
    );
  }
  const samples = classes.flatMap((name, label) => {
    const files = imageFiles(path.join(root, name));
    if (files.length === 0) {
      throw new PlusxError(
        'class-empty',
        `${path.join(root, name)}: class "${name}" has no image (0 files end in .jpg, .png, ` +
          '.webp, .gif, .tiff or .avif); add images or remove the folder',
        { name },
      );
    }
    return files.map((file) => ({ file, label }));
  });
  return { classes, samples };
}

/** All image files below a folder, sorted. Links to folders are not followed: they may be loops. */
function imageFiles(folder: string): string[] {
  const files: string[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.name.startsWith('.')) continue;
    if (entry.isDirectory()) files.push(...imageFiles(file));
    else if (imageNames.test(entry.name) && isFileOrBrokenLink(file)) files.push(file);
  }
  return files.sort(byCodePoint);
}

/** Holds out a share of each class, at least one image where it has two. */
function split(all: ImageFolder, share: number, seed: number) {
  if (!(share > 0 && share < 1)) {
    throw new PlusxError('option', `val-split must be above 0 and below 1, got ${share}`);
  }
  const train: Sample[] = [];
  const val: Sample[] = [];
  all.classes.forEach((_, label) => {
    const members = all.samples.filter((sample) => sample.label === label);
    const order = new Random(seed, 'split', label).permutation(members.length);
    const wanted = Math.max(1, Math.round(members.length * share));
    const count = Math.min(wanted, members.length - 1);
    const held = new Set(order.subarray(0, count));
    members.forEach((sample, i) => (held.has(i) ? val : train).push(sample));
  });
  if (val.length === 0) {
    throw new PlusxError(
      'too-few-images',
      `${all.root}: ${all.length} images are too few to hold any out for validation; ` +
        'two a class are needed',
    );
  }
  return { train: all.subset(train), val: all.subset(val) };
}

function expectFolder(folder: string): void {
  if (!existsSync(folder)) {
    throw new PlusxError('folder-missing', `${folder}: there is no such folder; check the path`, {
      folder,
    });
  }
  if (!isFolder(folder)) {
    throw new PlusxError('folder-missing', `${folder}: this is a file, a folder is needed`, {
      folder,
    });
  }
  if (readdirSync(folder).length === 0) {
    throw new PlusxError(
      'folder-empty',
      `${folder}: the folder is empty; put the images of each class into a folder of its own`,
      { folder },
    );
  }
}

function isFolder(file: string): boolean {
  return followed(file)?.isDirectory() ?? false;
}

/** A broken link is kept, so that it is named with the other files that cannot be read. */
function isFileOrBrokenLink(file: string): boolean {
  return followed(file)?.isFile() ?? true;
}

function followed(file: string) {
  try {
    return statSync(file);
  } catch {
    return undefined; // missing, a link to nothing, or a link to itself
  }
}

/** As Python sorts, so that labels equal torchvision's. */
function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
