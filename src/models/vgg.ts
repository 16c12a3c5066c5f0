/**
 * VGG (Simonyan and Zisserman 2014, arXiv 1409.1556, table 1, columns A, B, D and E) with and
 * without batch-norm. Keys and initial values are torchvision's: He's normal for convolutions,
 * N(0, 0.01²) for linear layers, biases 0. Images need 32 pixels at least.
 */
import { batchNorm2d, conv2d, dropout, linear, sequential, type Layer } from '../nn/layers.js';
import { adaptiveAvgPool2d, flatten, maxPool2d, relu } from '../nn/functional.js';
import { heNormal, zeros } from '../nn/init.js';
import type { Tensor } from '../nn/tensor.js';
import type { AlexNetOptions } from './alexnet.js';
import { Backbone, outputsBefore } from './backbone.js';

export type VggOptions = AlexNetOptions;

const channelsOfStages = [64, 128, 256, 512, 512];

const pool = (x: Tensor) => maxPool2d(x, { kernelSize: 2 });

export class Vgg extends Backbone<'C1' | 'C2' | 'C3' | 'C4' | 'C5'> {
  readonly features;
  readonly classifier;
  override readonly stages = {
    C1: { stride: 1, channels: 64 },
    C2: { stride: 2, channels: 128 },
    C3: { stride: 4, channels: 256 },
    C4: { stride: 8, channels: 512 },
    C5: { stride: 16, channels: 512 },
  };

  /** `convolutions`: how many each of the five stages has. */
  constructor(
    convolutions: readonly number[],
    batchNorm: boolean,
    { classes = 1000, dropout: p = 0.5, hiddenFeatures = 4096 }: VggOptions = {},
  ) {
    super();
    const layers: Layer[] = [];
    let inChannels = 3;
    convolutions.forEach((count, stage) => {
      const channels = channelsOfStages[stage]!;
      for (let i = 0; i < count; i++) {
        layers.push(conv3x3(inChannels, channels), ...(batchNorm ? [batchNorm2d(channels)] : []));
        layers.push(relu);
        inChannels = channels;
      }
      layers.push(pool);
    });
    this.features = sequential(...layers);
    this.classifier = sequential(
      dense(512 * 7 * 7, hiddenFeatures),
      relu,
      dropout({ p }),
      dense(hiddenFeatures, hiddenFeatures),
      relu,
      dropout({ p }),
      dense(hiddenFeatures, classes),
    );
  }

  override *outputs(x: Tensor) {
    yield* outputsBefore(pool, this.features.layers, x);
  }

  override head(x: Tensor): Tensor {
    return this.classifier(flatten(adaptiveAvgPool2d(pool(x), 7)));
  }
}

function conv3x3(inChannels: number, outChannels: number) {
  const init = heNormal(outChannels * 9);
  return conv2d(inChannels, outChannels, { kernelSize: 3, padding: 1, init, biasInit: zeros });
}

function dense(inFeatures: number, outFeatures: number) {
  return linear(inFeatures, outFeatures, { init: { kind: 'normal', std: 0.01 }, biasInit: zeros });
}

/** The network of so many layers with weights, and its counterpart with batch-norm. */
const vgg = (convolutions: readonly number[], batchNorm: boolean) => (options?: VggOptions) =>
  new Vgg(convolutions, batchNorm, options);

const columns = {
  A: [1, 1, 2, 2, 2],
  B: [2, 2, 2, 2, 2],
  D: [2, 2, 3, 3, 3],
  E: [2, 2, 4, 4, 4],
} as const;

export const vgg11 = vgg(columns.A, false);
export const vgg11bn = vgg(columns.A, true);
export const vgg13 = vgg(columns.B, false);
export const vgg13bn = vgg(columns.B, true);
export const vgg16 = vgg(columns.D, false);
export const vgg16bn = vgg(columns.D, true);
export const vgg19 = vgg(columns.E, false);
export const vgg19bn = vgg(columns.E, true);
