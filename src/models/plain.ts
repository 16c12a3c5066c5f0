/**
 * The plain counterparts of residual networks: the same layers without the skips (He et al. 2015,
 * arXiv 1512.03385, table 1 and figure 3, middle). They show the degradation that residual networks
 * were made against: plain-34 trains to a larger error than plain-18.
 */
import { batchNorm2d } from '../nn/layers.js';
import { relu } from '../nn/functional.js';
import { Module } from '../nn/module.js';
import type { Tensor } from '../nn/tensor.js';
import { conv3x3, type BlockStyle } from './blocks.js';
import { CifarResNet, type CifarResNetOptions } from './cifar-resnet.js';
import { ResNet, type ResNetOptions } from './resnet.js';

/** A `BasicBlock` whose input reaches the output through its convolutions alone: H(x) = F(x). */
export class PlainBlock extends Module {
  static readonly expansion = 1;
  readonly conv1;
  readonly bn1;
  readonly conv2;
  readonly bn2;

  constructor(inChannels: number, channels: number, stride = 1, { init }: BlockStyle = {}) {
    super();
    this.conv1 = conv3x3(inChannels, channels, init, { stride });
    this.bn1 = batchNorm2d(channels);
    this.conv2 = conv3x3(channels, channels, init);
    this.bn2 = batchNorm2d(channels);
  }

  override forward(x: Tensor): Tensor {
    return relu(this.bn2(this.conv2(relu(this.bn1(this.conv1(x))))));
  }
}

export type PlainOptions = Pick<ResNetOptions, 'classes' | 'stem'>;

export const plain18 = (options?: PlainOptions) => new ResNet(PlainBlock, [2, 2, 2, 2], options);
export const plain34 = (options?: PlainOptions) => new ResNet(PlainBlock, [3, 4, 6, 3], options);

export type CifarPlainOptions = Pick<CifarResNetOptions, 'classes'>;

/** The plain network of `depth` = 6n + 2 layers for images of 32 pixels. */
const cifarPlain = (depth: number) => (options?: CifarPlainOptions) =>
  new CifarResNet(PlainBlock, (depth - 2) / 6, options);

export const plain20 = cifarPlain(20);
export const plain32 = cifarPlain(32);
export const plain44 = cifarPlain(44);
export const plain56 = cifarPlain(56);
