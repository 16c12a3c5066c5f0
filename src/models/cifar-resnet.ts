/**
 * The residual networks for CIFAR's images of 32 pixels (He et al. 2015, arXiv 1512.03385, section
 * 4.2): a 3×3 convolution and three stages of n blocks with 16, 32 and 64 channels, 6n + 2 layers.
 *
 * Keys are torchvision's; akamaster's pytorch_resnet_cifar10 calls `fc` `linear` and `downsample`
 * `shortcut`. All weights start in He's normal distribution, as they do there.
 */
import { batchNorm2d, linear } from '../nn/layers.js';
import { flatten, globalAvgPool2d, relu } from '../nn/functional.js';
import { heNormal } from '../nn/init.js';
import type { Tensor } from '../nn/tensor.js';
import { Backbone } from './backbone.js';
import { BasicBlock, conv3x3, type BlockClass, type ConvInit } from './blocks.js';
import { stagesOf } from './resnet.js';

export type CifarShortcut = 'A' | 'B';

export const cifarShortcuts: readonly CifarShortcut[] = ['A', 'B'];

export interface CifarResNetOptions {
  /** Default 10. */
  readonly classes?: number;
  /**
   * What carries x past the first block of the second and third stage: `A` zeros in the new
   * channels, without parameters, `B` a 1×1 convolution. Default `A`.
   */
  readonly shortcut?: CifarShortcut;
  /** Starts each block as the identity (Goyal et al. 2017, arXiv 1706.02677). Default false. */
  readonly zeroInitResidual?: boolean;
}

export class CifarResNet extends Backbone<'C1' | 'C2' | 'C3' | 'C4'> {
  readonly conv1;
  readonly bn1;
  readonly layer1;
  readonly layer2;
  readonly layer3;
  readonly fc;
  override readonly stages = {
    C1: { stride: 1, channels: 16 },
    C2: { stride: 1, channels: 16 },
    C3: { stride: 2, channels: 32 },
    C4: { stride: 4, channels: 64 },
  };

  /** `n`: blocks of each stage. */
  constructor(block: BlockClass, n: number, options: CifarResNetOptions = {}) {
    super();
    const { classes = 10, shortcut = 'A', zeroInitResidual = false } = options;
    const init: ConvInit = ({ fanIn }) => heNormal(fanIn);
    const stage = stagesOf(block, 16, { init, shortcut, zeroInitResidual });
    this.conv1 = conv3x3(3, 16, init);
    this.bn1 = batchNorm2d(16);
    this.layer1 = stage(16, n, 1);
    this.layer2 = stage(32, n, 2);
    this.layer3 = stage(64, n, 2);
    this.fc = linear(64, classes, { init: heNormal(64) });
  }

  override *outputs(x: Tensor) {
    let y = relu(this.bn1(this.conv1(x)));
    yield y;
    for (const layer of [this.layer1, this.layer2, this.layer3]) {
      y = layer(y);
      yield y;
    }
  }

  override head(x: Tensor): Tensor {
    return this.fc(flatten(globalAvgPool2d(x)));
  }
}

/** The residual network of `depth` = 6n + 2 layers. */
const cifarResNet = (depth: number) => (options?: CifarResNetOptions) =>
  new CifarResNet(BasicBlock, (depth - 2) / 6, options);

export const resnet20 = cifarResNet(20);
export const resnet32 = cifarResNet(32);
export const resnet44 = cifarResNet(44);
export const resnet56 = cifarResNet(56);
export const resnet110 = cifarResNet(110);
