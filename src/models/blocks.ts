/**
 * The blocks that residual networks are stacked from (He et al. 2015, arXiv 1512.03385, figure 5),
 * with torchvision's keys: `conv1`, `bn1`, …, `downsample.0`. What timm adds has timm's keys.
 */
import { batchNorm2d, conv2d, sequential, type Layer } from '../nn/layers.js';
import { avgPool2d, globalAvgPool2d, identityShortcut } from '../nn/functional.js';
import { relu, scaleChannels, sigmoid } from '../nn/functional.js';
import { zeros, type Initialiser } from '../nn/init.js';
import { Module } from '../nn/module.js';
import type { Tensor } from '../nn/tensor.js';

/** How a network's convolutions start, given C·R·S and K·R·S; undefined for PyTorch's default. */
export type ConvInit = (fans: {
  readonly fanIn: number;
  readonly fanOut: number;
}) => Initialiser | undefined;

/**
 * What carries x past the convolutions where the stride or the channels change:
 * - `A`: every other pixel, zeros in the new channels; no parameters (the paper's option A).
 * - `B`: a 1×1 convolution with the stride, and batch-norm (equation 2, option B).
 * - `D`: an average over what the stride skips, then as B with stride 1: nothing of x is lost
 *   (ResNet-D: He et al. 2018, arXiv 1812.01187, section 4.1).
 */
export type Shortcut = 'A' | 'B' | 'D';

/** What the blocks of one network have in common. */
export interface BlockStyle {
  /** Default: PyTorch's. */
  readonly init?: ConvInit;
  /** Default `B`. */
  readonly shortcut?: Shortcut;
  /** Starts blocks as the identity: their last batch-norm's weight is 0. Default false. */
  readonly zeroInitResidual?: boolean;
  /** Default false. */
  readonly squeezeExcitation?: boolean;
  /** Of a bottleneck's 3×3 convolution (ResNeXt: arXiv 1611.05431). Default 1. */
  readonly groups?: number;
  /** Channels of a group of that convolution for 64 of the stage (arXiv 1605.07146). Default 64. */
  readonly widthPerGroup?: number;
}

/** A class of blocks as networks make them; `channels` times `expansion` come out. */
export interface BlockClass {
  readonly expansion: number;
  new (inChannels: number, channels: number, stride: number, style: BlockStyle): Module;
}

/** Two 3×3 convolutions and a skip: H(x) = F(x) + x (figure 2). */
export class BasicBlock extends Module {
  static readonly expansion = 1;
  readonly conv1;
  readonly bn1;
  readonly conv2;
  readonly bn2;
  readonly se: SqueezeExcitation | undefined;
  /** Where x cannot be added as it is. */
  readonly downsample: Layer | undefined;

  constructor(inChannels: number, channels: number, stride = 1, style: BlockStyle = {}) {
    super();
    this.conv1 = conv3x3(inChannels, channels, style.init, { stride });
    this.bn1 = batchNorm2d(channels);
    this.conv2 = conv3x3(channels, channels, style.init);
    this.bn2 = batchNorm2d(channels, style.zeroInitResidual ? { init: zeros } : {});
    if (style.squeezeExcitation) this.se = new SqueezeExcitation(channels, style.init);
    this.downsample = shortcut(inChannels, channels, stride, style);
  }

  override forward(x: Tensor): Tensor {
    const skip = this.downsample ? this.downsample(x) : x;
    let residual = this.bn2(this.conv2(relu(this.bn1(this.conv1(x)))));
    if (this.se) residual = this.se(residual);
    return relu(residual.add(skip));
  }
}

/**
 * 1×1 to fewer channels, 3×3 on those, 1×1 back, and a skip (figure 5, right). The stride is in the
 * 3×3, as in torchvision (called v1.5), and not in the first 1×1, as in the paper.
 */
export class Bottleneck extends Module {
  static readonly expansion = 4;
  readonly conv1;
  readonly bn1;
  readonly conv2;
  readonly bn2;
  readonly conv3;
  readonly bn3;
  readonly se: SqueezeExcitation | undefined;
  readonly downsample: Layer | undefined;

  constructor(inChannels: number, channels: number, stride = 1, style: BlockStyle = {}) {
    super();
    const { init, groups = 1, widthPerGroup = 64 } = style;
    const width = Math.floor((channels * widthPerGroup) / 64) * groups;
    const outChannels = channels * Bottleneck.expansion;
    this.conv1 = conv1x1(inChannels, width, init);
    this.bn1 = batchNorm2d(width);
    this.conv2 = conv3x3(width, width, init, { stride, groups });
    this.bn2 = batchNorm2d(width);
    this.conv3 = conv1x1(width, outChannels, init);
    this.bn3 = batchNorm2d(outChannels, style.zeroInitResidual ? { init: zeros } : {});
    if (style.squeezeExcitation) this.se = new SqueezeExcitation(outChannels, init);
    this.downsample = shortcut(inChannels, outChannels, stride, style);
  }

  override forward(x: Tensor): Tensor {
    const skip = this.downsample ? this.downsample(x) : x;
    let residual = relu(this.bn1(this.conv1(x)));
    residual = relu(this.bn2(this.conv2(residual)));
    residual = this.bn3(this.conv3(residual));
    if (this.se) residual = this.se(residual);
    return relu(residual.add(skip));
  }
}

/**
 * Weighs the channels of a residual by what all its pixels say: x · σ(fc2(relu(fc1(mean of x))))
 * (Hu et al. 2017, arXiv 1709.01507). A sixteenth of the channels lies between, in eights, and the
 * two layers are 1×1 convolutions with bias, as in timm.
 */
export class SqueezeExcitation extends Module {
  readonly fc1;
  readonly fc2;

  constructor(channels: number, init?: ConvInit) {
    super();
    const reduced = Math.max(8, 8 * Math.round(channels / 16 / 8));
    this.fc1 = conv1x1(channels, reduced, init, { bias: true });
    this.fc2 = conv1x1(reduced, channels, init, { bias: true });
  }

  override forward(x: Tensor): Tensor {
    return scaleChannels(x, sigmoid(this.fc2(relu(this.fc1(globalAvgPool2d(x))))));
  }
}

/** Undefined where x can be added as it is. */
function shortcut(
  inChannels: number,
  outChannels: number,
  stride: number,
  { shortcut: kind = 'B', init }: BlockStyle,
): Layer | undefined {
  if (stride === 1 && inChannels === outChannels) return undefined;
  switch (kind) {
    case 'A':
      return (x) => identityShortcut(x, { stride, outChannels });
    case 'B':
      return sequential(
        conv1x1(inChannels, outChannels, init, { stride }),
        batchNorm2d(outChannels),
      );
    case 'D': {
      const pool = (x: Tensor) =>
        stride === 1 ? x : avgPool2d(x, { kernelSize: stride, ceilMode: true });
      return sequential(pool, conv1x1(inChannels, outChannels, init), batchNorm2d(outChannels));
    }
  }
}

interface ConvShape {
  /** Default 1. */
  readonly stride?: number;
  /** Default 1. */
  readonly groups?: number;
  /** Default false: batch-norm comes behind. */
  readonly bias?: boolean;
}

/** With padding 1: a stride of 1 keeps the size. */
export function conv3x3(inC: number, outC: number, init?: ConvInit, shape: ConvShape = {}) {
  return convolution(inC, outC, init, { kernelSize: 3, padding: 1, ...shape });
}

function conv1x1(inC: number, outC: number, init?: ConvInit, shape: ConvShape = {}) {
  return convolution(inC, outC, init, { kernelSize: 1, padding: 0, ...shape });
}

/** A convolution that starts as the network's do. */
export function convolution(
  inChannels: number,
  outChannels: number,
  init: ConvInit | undefined,
  shape: ConvShape & { readonly kernelSize: number; readonly padding: number },
) {
  const taps = shape.kernelSize ** 2;
  const fans = { fanIn: (inChannels / (shape.groups ?? 1)) * taps, fanOut: outChannels * taps };
  const weights = init?.(fans);
  return conv2d(inChannels, outChannels, {
    bias: false,
    ...shape,
    ...(weights ? { init: weights } : {}),
  });
}
