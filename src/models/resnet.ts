/**
 * ResNet-18 (He et al. 2015, arXiv 1512.03385, table 1), with torchvision's state-dict keys.
 *
 * `stem: 'conv7x7'` is torchvision's network: 7×7 stride 2, max-pool, He initialisation.
 * `stem: 'conv3x3'` is the tutorial article's: 3×3 stride 1, no pooling, PyTorch's default
 * initialisation; it suits small images and costs fifteen times as much at 224 px.
 */
import { batchNorm2d, conv2d, linear, sequential } from '../nn/layers.js';
import { flatten, globalAvgPool2d, maxPool2d, relu } from '../nn/functional.js';
import { heNormal, type Initialiser } from '../nn/init.js';
import { Module } from '../nn/module.js';
import type { Sequential } from '../nn/layers.js';
import type { Tensor } from '../nn/tensor.js';

export type Stem = 'conv3x3' | 'conv7x7';

export const stems: readonly Stem[] = ['conv3x3', 'conv7x7'];

export interface ResNetOptions {
  /** Default 1000. */
  readonly classes?: number;
  /** Default `conv7x7`. */
  readonly stem?: Stem;
}

/** How a network's convolutions start, given K·R·S; undefined for PyTorch's default. */
type ConvInit = (fanOut: number) => Initialiser | undefined;

/** Two 3×3 convolutions and a skip: H(x) = F(x) + x (figure 2). */
export class BasicBlock extends Module {
  static readonly expansion = 1;
  readonly conv1;
  readonly bn1;
  readonly conv2;
  readonly bn2;
  /** Projects x where the stride or the channels change (equation 2, option B). */
  readonly downsample: Sequential | undefined;

  constructor(inChannels: number, outChannels: number, stride: number, init: ConvInit) {
    super();
    this.conv1 = conv3x3(inChannels, outChannels, stride, init);
    this.bn1 = batchNorm2d(outChannels);
    this.conv2 = conv3x3(outChannels, outChannels, 1, init);
    this.bn2 = batchNorm2d(outChannels);
    if (stride !== 1 || inChannels !== outChannels * BasicBlock.expansion) {
      this.downsample = sequential(
        convolution(inChannels, outChannels, { kernelSize: 1, stride, padding: 0 }, init),
        batchNorm2d(outChannels),
      );
    }
  }

  override forward(x: Tensor): Tensor {
    const skip = this.downsample ? this.downsample(x) : x;
    const residual = this.bn2(this.conv2(relu(this.bn1(this.conv1(x)))));
    return relu(residual.add(skip));
  }
}

export class ResNet extends Module {
  readonly conv1;
  readonly bn1;
  readonly layer1;
  readonly layer2;
  readonly layer3;
  readonly layer4;
  readonly fc;
  private readonly pooledStem: boolean;

  constructor(
    blocks: readonly [number, number, number, number],
    { classes = 1000, stem = 'conv7x7' }: ResNetOptions,
  ) {
    super();
    const init: ConvInit = stem === 'conv7x7' ? heNormal : () => undefined;
    this.pooledStem = stem === 'conv7x7';
    this.conv1 = this.pooledStem
      ? convolution(3, 64, { kernelSize: 7, stride: 2, padding: 3 }, init)
      : conv3x3(3, 64, 1, init);
    this.bn1 = batchNorm2d(64);
    this.layer1 = stage(64, 64, blocks[0], 1, init);
    this.layer2 = stage(64, 128, blocks[1], 2, init);
    this.layer3 = stage(128, 256, blocks[2], 2, init);
    this.layer4 = stage(256, 512, blocks[3], 2, init);
    this.fc = linear(512 * BasicBlock.expansion, classes);
  }

  override forward(x: Tensor): Tensor {
    let y = relu(this.bn1(this.conv1(x)));
    if (this.pooledStem) y = maxPool2d(y, { kernelSize: 3, stride: 2, padding: 1 });
    y = this.layer4(this.layer3(this.layer2(this.layer1(y))));
    return this.fc(flatten(globalAvgPool2d(y)));
  }
}

export function resnet18(options: ResNetOptions = {}): ResNet {
  return new ResNet([2, 2, 2, 2], options);
}

function stage(inC: number, outC: number, blocks: number, stride: number, init: ConvInit) {
  const later = Array.from({ length: blocks - 1 }, () => new BasicBlock(outC, outC, 1, init));
  return sequential(new BasicBlock(inC, outC, stride, init), ...later);
}

function conv3x3(inChannels: number, outChannels: number, stride: number, init: ConvInit) {
  return convolution(inChannels, outChannels, { kernelSize: 3, stride, padding: 1 }, init);
}

function convolution(
  inChannels: number,
  outChannels: number,
  shape: { kernelSize: number; stride: number; padding: number },
  init: ConvInit,
) {
  const weights = init(outChannels * shape.kernelSize * shape.kernelSize);
  return conv2d(inChannels, outChannels, {
    ...shape,
    bias: false,
    ...(weights ? { init: weights } : {}),
  });
}
