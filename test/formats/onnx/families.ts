/** Networks of every family, small, with weights and statistics that training might have left. */
import type { Backend } from '../../../src/backend/backend.js';
import { imagenet } from '../../../src/data/transforms.js';
import { alexnet } from '../../../src/models/alexnet.js';
import { BasicBlock, Bottleneck } from '../../../src/models/blocks.js';
import { createModel, modelDefaults, modelNames } from '../../../src/models/registry.js';
import { ResNet } from '../../../src/models/resnet.js';
import { vgg11, vgg11bn } from '../../../src/models/vgg.js';
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

const classes = 5;

/** Every kind of block, stem, shortcut and head once; depths that cost a test little. */
export const families: readonly Family[] = [
  { name: 'small', imageSize: 17, create: smallResNet },
  {
    name: 'resnet10',
    imageSize: 64,
    create: () => new ResNet(BasicBlock, [1, 1, 1, 1], { classes }),
  },
  {
    name: 'resnet10, 3×3 stem',
    imageSize: 17,
    create: () => new ResNet(BasicBlock, [1, 1, 1, 1], { classes, stem: 'conv3x3' }),
  },
  {
    name: 'resnet14, bottlenecks',
    imageSize: 64,
    create: () => new ResNet(Bottleneck, [1, 1, 1, 1], { classes }),
  },
  {
    name: 'resnext14',
    imageSize: 64,
    create: () => {
      return new ResNet(Bottleneck, [1, 1, 1, 1], { classes }, { groups: 32, widthPerGroup: 4 });
    },
  },
  {
    name: 'resnet10, D and squeeze-excitation',
    imageSize: 70,
    create: () => {
      const options = { classes, variant: 'd', squeezeExcitation: true } as const;
      return new ResNet(BasicBlock, [1, 1, 1, 1], options);
    },
  },
  { name: 'resnet20, option A', imageSize: 33, create: () => createModel('resnet20') },
  {
    name: 'resnet20, option B',
    imageSize: 32,
    create: () => createModel('resnet20', { shortcut: 'B' }),
  },
  { name: 'plain20', imageSize: 32, create: () => createModel('plain20') },
  { name: 'alexnet', imageSize: 100, create: () => alexnet({ classes, hiddenFeatures: 32 }) },
  { name: 'vgg11', imageSize: 64, create: () => vgg11({ classes, hiddenFeatures: 32 }) },
  { name: 'vgg11_bn', imageSize: 64, create: () => vgg11bn({ classes, hiddenFeatures: 32 }) },
];

/** Each model of the registry as it is, at the size that it was made for: minutes. */
export const wholeFamilies: readonly Family[] = modelNames.map((name) => ({
  name,
  imageSize: modelDefaults(name).imageSize,
  create: () => createModel(name),
}));

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
    disturb(state);
    await session.importState(state);
    const random = new Random(4, 'bench', 0);
    const images = Uint8Array.from({ length: 3 * imageSize ** 2 * 3 }, () => random.below(256));
    return { model, state, imageSize, images, logits: await session.logits(images) };
  } finally {
    await session.dispose();
  }
}

/**
 * Batch-norms as training leaves them, with no mean of 0, no variance of 1 and no weight of 1; and
 * linear layers that say more than VGG's do at first.
 */
function disturb(state: StateDict): void {
  const random = new Random(5, 'bench', 0);
  const uniform = (low: number, high: number) => low + ((high - low) * random.below(1000)) / 1000;
  for (const [key, { data, shape }] of state) {
    if (shape.length === 2) data.forEach((value, i) => (data[i] = 10 * value));
    const isNorm = state.has(key.replace(/[^.]*$/, 'running_var'));
    if (!isNorm || shape.length !== 1) continue;
    const isScale = /weight|running_var/.test(key);
    data.forEach((_, i) => (data[i] = isScale ? uniform(0.5, 1.5) : uniform(-0.2, 0.2)));
  }
}
