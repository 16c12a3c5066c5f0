/** What every side starts from: the same weights and the same made-up images, as files. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  createModel,
  imagenet,
  openBackend,
  saveWeights,
  Session,
  sgd,
  type StateDict,
} from 'plusx';
import type { Row } from './rows.js';

/** Files in a folder of their own, each written when it is first asked for. */
export class Data {
  private readonly written = new Map<string, Promise<string>>();

  constructor(private readonly folder: string) {}

  weights(row: Row): Promise<string> {
    const { task, stem, classes } = row;
    return this.once(`${task}-${stem}-${classes}.safetensors`, async (file) => {
      const state = await drawWeights(row);
      await saveWeights(file, task === 'train' ? awayFromKinks(state) : state);
    });
  }

  images({ imageSize, batchSize }: Row): Promise<string> {
    return this.once(`${batchSize}-images-${imageSize}.bytes`, (file) =>
      writeFile(file, noise(batchSize * imageSize ** 2 * 3)),
    );
  }

  private once(name: string, write: (file: string) => Promise<void>): Promise<string> {
    const file = path.join(this.folder, name);
    const known = this.written.get(file);
    if (known) return known;
    const writing = write(file).then(() => file);
    this.written.set(file, writing);
    return writing;
  }
}

/** Initial weights; for inference after two steps, so that running statistics are no 0 and 1. */
async function drawWeights({ task, stem, classes }: Row): Promise<StateDict> {
  const [batchSize, imageSize] = [8, 64];
  const backend = await openBackend();
  const session = await Session.create(createModel('resnet18', { classes, stem }), backend, {
    batchSize,
    imageSize,
    normalization: imagenet,
    optimizer: sgd({ lr: 0.01 }),
    seed: 0,
  });
  const images = noise(batchSize * imageSize ** 2 * 3);
  const labels = Int32Array.from({ length: batchSize }, (_, i) => i % 2);
  for (let i = 0; task === 'infer' && i < 2; i++) await session.step({ images, labels });
  const state = await session.exportState();
  await session.dispose();
  await backend.dispose();
  return state;
}

/**
 * With batch-norms of weight 1 and bias 0, a few inputs of every ReLU lie within rounding of zero,
 * where each order of sums passes or stops another gradient. With 1/16 and 1/4 none does, and what
 * is left between two implementations is rounding (scripts/fixtures/README.md has the figures).
 */
function awayFromKinks(state: StateDict): StateDict {
  for (const key of state.keys()) {
    if (!key.endsWith('.running_mean')) continue;
    const norm = key.slice(0, -'running_mean'.length);
    state.get(`${norm}weight`)!.data.fill(1 / 16);
    state.get(`${norm}bias`)!.data.fill(1 / 4);
  }
  return state;
}

/** Bytes of a linear congruential generator (Numerical Recipes); the same every time. */
function noise(count: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}
