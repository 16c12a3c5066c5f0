/**
 * CIFAR-10 in its two published forms: 60,000 images of 32×32 pixels in five batches to train on and
 * one to test with. Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009;
 * https://www.cs.toronto.edu/~kriz/cifar.html
 *
 * Binary: data_batch_1.bin … test_batch.bin, an image being a label and three planes of bytes.
 * Python: data_batch_1 … test_batch, pickles of a list of labels and an array (N, 3072) of planes,
 * read without executing anything.
 */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { PlusxError } from '../errors.js';
import {
  cifarSize,
  corrupt,
  imageBytes,
  readBinary,
  readBinaryNames,
  readPickled,
  readPickledNames,
} from './cifar10-files.js';
import { countByClass, type LabelledImages, type LabelledSplit } from './labelled-images.js';
import type { Sample } from './labelled-images.js';
import type { Compose } from './transforms.js';

const pixels = cifarSize * cifarSize;

/** As published; where the file with the names is not there, they are these. */
const publishedNames = [
  ...['airplane', 'automobile', 'bird', 'cat', 'deer'],
  ...['dog', 'frog', 'horse', 'ship', 'truck'],
];

const trainBatches = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`);
const testBatch = 'test_batch';

interface Cifar10Sample extends Sample {
  /** (3072): planes R, G, B. */
  readonly planes: Uint8Array;
  readonly identity: string;
}

/** Images of CIFAR-10 batches, in memory. */
export class Cifar10 implements LabelledImages {
  constructor(
    readonly classes: readonly string[],
    readonly samples: readonly Cifar10Sample[],
    readonly transform: Compose,
  ) {}

  get length(): number {
    return this.samples.length;
  }

  label(index: number): number {
    return this.samples[index]!.label;
  }

  file(index: number): string {
    return this.samples[index]!.file;
  }

  identity(index: number): string {
    return this.samples[index]!.identity;
  }

  /** The bytes (S, S, 3) of sample `index`. */
  load(index: number): Promise<Uint8Array> {
    const data = interleaved(this.samples[index]!.planes);
    return Promise.resolve(this.transform.apply({ width: cifarSize, height: cifarSize, data }));
  }

  subset(samples: readonly Sample[]): Cifar10 {
    const kept = new Set(samples);
    const own = this.samples.filter((sample) => kept.has(sample));
    return new Cifar10(this.classes, own, this.transform);
  }

  countByClass(): Record<string, number> {
    return countByClass(this.classes, this.samples);
  }
}

/** All five batches to train on, the test batch held out. Throws `cifar10-…` naming what is missing. */
export async function openCifar10(folder: string, transform: Compose): Promise<LabelledSplit> {
  const layout = findLayout(folder);
  expectBatches(layout, [...trainBatches, testBatch], 'train');
  const classes = await readClasses(layout);
  const samples: Cifar10Sample[] = [];
  for (const batch of trainBatches) samples.push(...(await readBatch(layout, batch, classes)));
  const held = await readBatch(layout, testBatch, classes);
  return {
    train: new Cifar10(classes, samples, transform),
    val: new Cifar10(classes, held, transform),
  };
}

/** The test batch alone, its labels those of `classes`, by name; the other batches may be missing. */
export async function openCifar10Test(
  folder: string,
  transform: Compose,
  classes: readonly string[],
): Promise<Cifar10> {
  const layout = findLayout(folder);
  expectBatches(layout, [testBatch], 'evaluate');
  const names = await readClasses(layout);
  const labels = names.map((name) => {
    const label = classes.indexOf(name);
    if (label >= 0) return label;
    throw new PlusxError(
      'class-unknown',
      `${layout.folder}: class "${name}" of CIFAR-10 is not among the ${classes.length} that are ` +
        `trained (${classes.join(', ')}); evaluate a checkpoint that was trained on CIFAR-10`,
      { name, classes },
    );
  });
  const samples = await readBatch(layout, testBatch, names);
  const labelled = samples.map((sample) => ({ ...sample, label: labels[sample.label]! }));
  return new Cifar10(classes, labelled, transform);
}

interface Layout {
  readonly folder: string;
  readonly form: 'binary' | 'python';
  /** Names of the files that are there. */
  readonly files: ReadonlySet<string>;
}

const unpackedFolders = ['cifar-10-batches-bin', 'cifar-10-batches-py'];

/** The folder itself, or the one that the published archives unpack to. */
function findLayout(folder: string): Layout {
  const places = [folder, ...unpackedFolders.map((name) => path.join(folder, name))];
  for (const place of places) {
    const info = statSync(place, { throwIfNoEntry: false });
    if (!info?.isDirectory()) continue;
    const files = new Set(readdirSync(place));
    const batches = [...trainBatches, testBatch];
    if (batches.some((name) => files.has(`${name}.bin`))) {
      return { folder: place, form: 'binary', files };
    }
    if (batches.some((name) => files.has(name))) return { folder: place, form: 'python', files };
  }
  const there = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
  throw new PlusxError(
    'cifar10-missing',
    `${folder}: ${there ? 'no batch of CIFAR-10 is here' : 'there is no such folder'}; name the ` +
      'folder with data_batch_1.bin … (binary version) or data_batch_1 … (Python version)',
    { folder },
  );
}

function fileOf({ form }: Layout, batch: string): string {
  return form === 'binary' ? `${batch}.bin` : batch;
}

function expectBatches(layout: Layout, batches: readonly string[], purpose: string): void {
  const missing = batches
    .map((name) => fileOf(layout, name))
    .filter((name) => {
      return !layout.files.has(name);
    });
  if (missing.length === 0) return;
  throw new PlusxError(
    'cifar10-missing',
    `${layout.folder}: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing, to ` +
      `${purpose} needs ${missing.length === 1 ? 'it' : 'them'}; unpack the whole archive there`,
    { folder: layout.folder, missing },
  );
}

async function readClasses({ folder, form, files }: Layout): Promise<readonly string[]> {
  const name = form === 'binary' ? 'batches.meta.txt' : 'batches.meta';
  if (!files.has(name)) return publishedNames;
  const file = path.join(folder, name);
  const names = await (form === 'binary' ? readBinaryNames : readPickledNames)(file);
  if (names.length >= 2 && new Set(names).size === names.length) return names;
  throw corrupt(file, `it names ${names.length} classes (${names.slice(0, 12).join(', ')})`);
}

async function readBatch(
  layout: Layout,
  batch: string,
  classes: readonly string[],
): Promise<Cifar10Sample[]> {
  const file = path.join(layout.folder, fileOf(layout, batch));
  const read = layout.form === 'binary' ? readBinary : readPickled;
  const { labels, planes } = await read(file);
  const hash = createHash('sha256').update(Uint8Array.from(labels));
  for (const image of planes) hash.update(image);
  const digest = hash.digest('hex');
  return planes.map((image, i) => {
    const label = labels[i]!;
    if (!(label < classes.length)) {
      throw corrupt(file, `image ${i} has the label ${label}, there are ${classes.length} classes`);
    }
    // Alike in both forms: a run may go on with the other one.
    const identity = `${batch}#${i}\0${digest}`;
    return { file: `${file}#${i}`, label, planes: image, identity };
  });
}

/** (3, 32, 32) → (32, 32, 3) */
function interleaved(planes: Uint8Array): Uint8Array {
  const image = new Uint8Array(imageBytes);
  for (let c = 0; c < 3; c++) {
    for (let p = 0; p < pixels; p++) image[p * 3 + c] = planes[c * pixels + p]!;
  }
  return image;
}
