/** Networks of every family, small, with weights and statistics that training might have left. */
import type { Backend } from '../../../src/backend/backend.js';
import { imagenet } from '../../../src/data/transforms.js';
import { createModel } from '../../../src/models/registry.js';
import type { Module } from '../../../src/nn/module.js';
import { Random } from '../../../src/random/philox.js';
import { sgd } from '../../../src/train/optimizers.js';
import { Session } from '../../../src/train/session.js';
import type { StateDict } from '../../../src/train/state-dict.js';
import { smallResNet } from '../../train/small-resnet.js';

export interface Family {
  readonly name: string;
  readonly imageSize: number;
  readonly create: () => Module;
}

export const families: readonly Family[] = [
  { name: 'small', imageSize: 17, create: smallResNet },
  {
    name: 'resnet18',
    imageSize: 64,
    create: () => createModel('resnet18', { classes: 5, stem: 'conv7x7' }),
  },
  {
    name: 'resnet18, 3×3 stem',
    imageSize: 24,
    create: () => createModel('resnet18', { classes: 5, stem: 'conv3x3' }),
  },
];

export interface Prepared {
  readonly model: Module;
  readonly state: StateDict;
  readonly imageSize: number;
  /** (3, S, S, 3) */
  readonly images: Uint8Array;
  /** (3, classes): plusx's. */
  readonly logits: Float32Array;
}

/** A network with running statistics that are not those of a new one, and what it says. */
export async function prepare({ create, imageSize }: Family, backend: Backend): Promise<Prepared> {
  const model = create();
  const options = { batchSize: 3, imageSize, normalization: imagenet, seed: 3 };
  const session = await Session.create(model, backend, { ...options, optimizer: sgd({ lr: 0 }) });
  try {
    const state = await session.exportState();
    disturbStatistics(state);
    await session.importState(state);
    const random = new Random(4, 'bench', 0);
    const images = Uint8Array.from({ length: 3 * imageSize ** 2 * 3 }, () => random.below(256));
    return { model, state, imageSize, images, logits: await session.logits(images) };
  } finally {
    await session.dispose();
  }
}

/** Batch-norms as training leaves them: no mean of 0, no variance of 1, no weight of 1. */
function disturbStatistics(state: StateDict): void {
  const random = new Random(5, 'bench', 0);
  const uniform = (low: number, high: number) => low + ((high - low) * random.below(1000)) / 1000;
  for (const [key, { data, shape }] of state) {
    const norm = state.has(key.replace(/[^.]*$/, 'running_var'));
    if (!norm || shape.length !== 1) continue;
    const [low, high] =
      key.endsWith('running_var') || key.endsWith('weight') ? [0.5, 1.5] : [-0.2, 0.2];
    data.forEach((_, i) => (data[i] = uniform(low, high)));
  }
}
