/**
 * AlexNet as torchvision has it: the single-tower variant of "One weird trick for parallelizing
 * convolutional neural networks" (Krizhevsky 2014, arXiv 1404.5997), without the local response
 * normalisation of the 2012 paper. Keys are torchvision's; weights start in PyTorch's defaults, as
 * they do there. Images need 63 pixels at least.
 */
import { conv2d, dropout, linear, sequential } from '../nn/layers.js';
import { adaptiveAvgPool2d, flatten, maxPool2d, relu } from '../nn/functional.js';
import type { Tensor } from '../nn/tensor.js';
import { Backbone, outputsBefore } from './backbone.js';

export interface AlexNetOptions {
  /** Default 1000. */
  readonly classes?: number;
  /** Share of the classifier's numbers that a training step leaves out. Default 0.5. */
  readonly dropout?: number;
  /** Features of the two hidden layers of the classifier. Default 4096. */
  readonly hiddenFeatures?: number;
}

const pool = (x: Tensor) => maxPool2d(x, { kernelSize: 3, stride: 2 });

export class AlexNet extends Backbone<'C1' | 'C2' | 'C5'> {
  readonly features;
  readonly classifier;
  override readonly stages = {
    C1: { stride: 4, channels: 64 },
    C2: { stride: 8, channels: 192 },
    C5: { stride: 16, channels: 256 },
  };

  constructor({ classes = 1000, dropout: p = 0.5, hiddenFeatures = 4096 }: AlexNetOptions = {}) {
    super();
    this.features = sequential(
      conv2d(3, 64, { kernelSize: 11, stride: 4, padding: 2 }),
      relu,
      pool,
      conv2d(64, 192, { kernelSize: 5, padding: 2 }),
      relu,
      pool,
      conv2d(192, 384, { kernelSize: 3, padding: 1 }),
      relu,
      conv2d(384, 256, { kernelSize: 3, padding: 1 }),
      relu,
      conv2d(256, 256, { kernelSize: 3, padding: 1 }),
      relu,
      pool,
    );
    this.classifier = sequential(
      dropout({ p }),
      linear(256 * 6 * 6, hiddenFeatures),
      relu,
      dropout({ p }),
      linear(hiddenFeatures, hiddenFeatures),
      relu,
      linear(hiddenFeatures, classes),
    );
  }

  override *outputs(x: Tensor) {
    yield* outputsBefore(pool, this.features.layers, x);
  }

  override head(x: Tensor): Tensor {
    return this.classifier(flatten(adaptiveAvgPool2d(pool(x), 6)));
  }
}

export const alexnet = (options?: AlexNetOptions) => new AlexNet(options);
