/**
 * The demo data set: cats and dogs drawn by plusx itself, as JPEG files of different sizes in class
 * folders. The same seed gives the same files. A drawn set is used again; one that was interrupted
 * is drawn anew, for its manifest is written last.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { PlusxError } from '../errors.js';
import { Random } from '../random/philox.js';
import { drawAnimal, type Animal } from './cats-and-dogs.js';

export interface DemoOptions {
  /** Default 0. */
  readonly seed?: number;
  /** Images of each class to train on. Default 800. */
  readonly trainPerClass?: number;
  /** Images of each class held out. Default 150. */
  readonly valPerClass?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface DemoDataset {
  readonly folder: string;
  /** All of them. */
  readonly images: number;
  /** One that is held out, to predict. */
  readonly example: string;
}

/** Options with which ResNet-18 learns this set within the demo's time. */
export const demoRecipe = {
  model: 'resnet18',
  stem: 'conv7x7',
  imageSize: 64,
  epochs: 6,
  batchSize: 16,
  lr: 0.01,
  momentum: 0.9,
  schedule: 'cosine',
  warmupEpochs: 1,
  seed: 0,
} as const;

/** Part of the manifest: changes whenever the drawings do. */
const drawingVersion = 1;

const animals: readonly Animal[] = ['cat', 'dog'];

/** Draws `train/cats`, `train/dogs`, `val/cats` and `val/dogs` below `folder`. */
export async function drawDemoDataset(
  folder: string,
  options: DemoOptions = {},
): Promise<DemoDataset> {
  const { seed = 0, trainPerClass = 800, valPerClass = 150, onProgress } = options;
  const parts = [
    { name: 'train', count: trainPerClass },
    { name: 'val', count: valPerClass },
  ];
  for (const { name, count } of parts) {
    if (!Number.isInteger(count) || count < 1) {
      throw new PlusxError(
        'option',
        `${name} images must be a whole number of at least 1, got ${count}`,
      );
    }
  }
  const images = 2 * (trainPerClass + valPerClass);
  const example = path.join(folder, 'val', 'cats', 'cat-0000.jpg');
  const manifest = JSON.stringify({ drawingVersion, seed, trainPerClass, valPerClass });
  const manifestFile = path.join(folder, 'drawn.json');
  if (existsSync(manifestFile) && readFileSync(manifestFile, 'utf8') === manifest) {
    return { folder, images, example };
  }
  if (existsSync(folder) && !existsSync(manifestFile) && !existsSync(`${folder}.drawing`)) {
    throw new PlusxError(
      'demo-folder',
      `${folder} exists and was not drawn by plusx; remove it or run the demo elsewhere`,
    );
  }

  // Drawn beside, then moved: what lies at `folder` is always complete.
  const scratch = `${folder}.drawing`;
  await rm(scratch, { recursive: true, force: true });
  let done = 0;
  for (const [part, { name, count }] of parts.entries()) {
    for (const [label, animal] of animals.entries()) {
      const target = path.join(scratch, name, `${animal}s`);
      await mkdir(target, { recursive: true });
      const draw = async (i: number) => {
        const random = new Random(seed, 'demo', ((part * 2 + label) << 20) + i);
        const file = path.join(target, `${animal}-${String(i).padStart(4, '0')}.jpg`);
        await writeFile(file, await renderJpeg(animal, random));
        onProgress?.(++done, images);
      };
      await inParallel(count, draw);
    }
  }
  await writeFile(path.join(scratch, 'drawn.json'), manifest);
  await rm(folder, { recursive: true, force: true });
  await rename(scratch, folder);
  return { folder, images, example };
}

/** A JPEG file of one animal: the drawing, a little blur, noise of the sensor, and compression. */
export async function renderJpeg(animal: Animal, random: Random): Promise<Uint8Array> {
  const { svg, width, height } = drawAnimal(animal, random);
  const blur = random.uniform(0.3, 1.3);
  const { data } = await sharp(Buffer.from(svg))
    .removeAlpha()
    .blur(blur)
    .raw()
    .toBuffer({ resolveWithObject: true });
  const strength = random.uniform(2, 18);
  for (let i = 0; i < data.length; i++) {
    // The sum of two uniform numbers: near enough to a sensor's noise, and quick.
    const noise = random.uniform(-1, 1) + random.uniform(-1, 1);
    data[i] = Math.max(0, Math.min(255, data[i]! + strength * noise));
  }
  const quality = 60 + random.below(36);
  return sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality })
    .toBuffer();
}

async function inParallel(count: number, task: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}
