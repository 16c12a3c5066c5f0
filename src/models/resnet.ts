/**
 * Residual networks for photographs (He et al. 2015, arXiv 1512.03385, table 1), with torchvision's
 * state-dict keys, and what was built on them: Wide ResNet (arXiv 1605.07146) and ResNeXt (arXiv
 * 1611.05431). The networks for CIFAR's small images are in cifar-resnet.ts.
 *
 * `stem: 'conv7x7'` is torchvision's: 7×7 stride 2, max-pool, He initialisation.
 * `stem: 'conv3x3'` is the tutorial article's: 3×3 stride 1, no pooling, PyTorch's default
 * initialisation; it suits small images and costs fifteen times as much at 224 px.
 */
import { batchNorm2d, linear, sequential } from '../nn/layers.js';
import { flatten, globalAvgPool2d, maxPool2d, relu } from '../nn/functional.js';
import { heNormal } from '../nn/init.js';
import type { Tensor } from '../nn/tensor.js';
import { Backbone } from './backbone.js';
import { BasicBlock, Bottleneck, conv3x3, convolution } from './blocks.js';
import type { BlockClass, BlockStyle, ConvInit } from './blocks.js';

export type Stem = 'conv3x3' | 'conv7x7';

export const stems: readonly Stem[] = ['conv3x3', 'conv7x7'];

export type Variant = 'd';

export const variants: readonly Variant[] = ['d'];

export interface ResNetOptions {
  /** Default 1000. */
  readonly classes?: number;
  /** Default `conv7x7`. */
  readonly stem?: Stem;
  /**
   * `d` is ResNet-D (He et al. 2018, arXiv 1812.01187): three 3×3 convolutions in place of the 7×7
   * one, and shortcuts that average before they project. Keys are those of timm's `resnet50d`.
   */
  readonly variant?: Variant;
  /** Starts each block as the identity (Goyal et al. 2017, arXiv 1706.02677). Default false. */
  readonly zeroInitResidual?: boolean;
  /** Weighs each block's channels (arXiv 1709.01507), as in timm's `seresnet50`. Default false. */
  readonly squeezeExcitation?: boolean;
}

/** How wide the 3×3 convolutions of bottlenecks are. */
export type BottleneckWidth = Pick<BlockStyle, 'groups' | 'widthPerGroup'>;

export class ResNet extends Backbone<'C1' | 'C2' | 'C3' | 'C4' | 'C5'> {
  readonly conv1;
  readonly bn1;
  readonly layer1;
  readonly layer2;
  readonly layer3;
  readonly layer4;
  readonly fc;
  override readonly stages;
  private readonly pooledStem: boolean;

  /** `layers`: how many blocks each of the four stages has. */
  constructor(
    block: BlockClass,
    layers: readonly [number, number, number, number],
    options: ResNetOptions = {},
    widths: BottleneckWidth = {},
  ) {
    super();
    const { classes = 1000, stem = 'conv7x7', variant, ...others } = options;
    const pooled = stem === 'conv7x7';
    const init: ConvInit = pooled ? ({ fanOut }) => heNormal(fanOut) : () => undefined;
    const shortcut = variant === 'd' ? 'D' : 'B';
    const stage = stagesOf(block, 64, { init, shortcut, ...others, ...widths });
    this.pooledStem = pooled;
    this.conv1 = pooled ? largeStem(init, variant) : conv3x3(3, 64, init);
    this.bn1 = batchNorm2d(64);
    this.layer1 = stage(64, layers[0], 1);
    this.layer2 = stage(128, layers[1], 2);
    this.layer3 = stage(256, layers[2], 2);
    this.layer4 = stage(512, layers[3], 2);
    this.fc = linear(512 * block.expansion, classes);

    const stride = pooled ? 4 : 1;
    this.stages = {
      C1: { stride: pooled ? 2 : 1, channels: 64 },
      C2: { stride, channels: 64 * block.expansion },
      C3: { stride: 2 * stride, channels: 128 * block.expansion },
      C4: { stride: 4 * stride, channels: 256 * block.expansion },
      C5: { stride: 8 * stride, channels: 512 * block.expansion },
    };
  }

  override *outputs(x: Tensor) {
    let y = relu(this.bn1(this.conv1(x)));
    yield y;
    if (this.pooledStem) y = maxPool2d(y, { kernelSize: 3, stride: 2, padding: 1 });
    for (const layer of [this.layer1, this.layer2, this.layer3, this.layer4]) {
      y = layer(y);
      yield y;
    }
  }

  override head(x: Tensor): Tensor {
    return this.fc(flatten(globalAvgPool2d(x)));
  }
}

/** Makes the stages of a network one after the other, the first from `inChannels` channels. */
export function stagesOf(block: BlockClass, inChannels: number, style: BlockStyle) {
  return (channels: number, blocks: number, firstStride: number) =>
    sequential(
      ...Array.from({ length: blocks }, (_, i) => {
        const made = new block(inChannels, channels, i === 0 ? firstStride : 1, style);
        inChannels = channels * block.expansion;
        return made;
      }),
    );
}

/** To 64 channels with stride 2: a 7×7 convolution, or in ResNet-D three of 3×3. */
function largeStem(init: ConvInit, variant: Variant | undefined) {
  if (variant !== 'd') return convolution(3, 64, init, { kernelSize: 7, stride: 2, padding: 3 });
  return sequential(
    conv3x3(3, 32, init, { stride: 2 }),
    batchNorm2d(32),
    relu,
    conv3x3(32, 32, init),
    batchNorm2d(32),
    relu,
    conv3x3(32, 64, init),
  );
}

export const resnet18 = (options?: ResNetOptions) => new ResNet(BasicBlock, [2, 2, 2, 2], options);
export const resnet34 = (options?: ResNetOptions) => new ResNet(BasicBlock, [3, 4, 6, 3], options);
export const resnet50 = (options?: ResNetOptions) => new ResNet(Bottleneck, [3, 4, 6, 3], options);
export const resnet101 = (options?: ResNetOptions) =>
  new ResNet(Bottleneck, [3, 4, 23, 3], options);
export const resnet152 = (options?: ResNetOptions) =>
  new ResNet(Bottleneck, [3, 8, 36, 3], options);

/** ResNet-50 whose 3×3 convolutions are twice as wide. */
export const wideResnet50 = (options?: ResNetOptions) =>
  new ResNet(Bottleneck, [3, 4, 6, 3], options, { widthPerGroup: 128 });

/** ResNet-50 whose 3×3 convolutions are 32 groups of 4 channels a 64 of the stage. */
export const resnext50 = (options?: ResNetOptions) =>
  new ResNet(Bottleneck, [3, 4, 6, 3], options, { groups: 32, widthPerGroup: 4 });
