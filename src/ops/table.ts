/**
 * Every op by name. The table is an exhaustive mapped type: an op without a shape rule or without
 * a word on its gradient does not compile.
 */
import * as adaptive from './adaptive-pool.js';
import { add } from './add.js';
import * as norm from './batch-norm.js';
import * as parts from './batch-norm-parts.js';
import { addBias, sumToChannels } from './bias.js';
import * as conv from './conv2d.js';
import * as inference from './conv2d-inference.js';
import { softmaxCrossEntropy, softmaxCrossEntropyBackward } from './cross-entropy.js';
import { dropout, type DropoutAttributes } from './dropout.js';
import { fill, type FillAttributes } from './fill.js';
import * as shortcut from './identity-shortcut.js';
import { nchwToNhwc, nhwcToNchw, reshape, type ReshapeAttributes } from './layout.js';
import { matmul, type MatmulAttributes } from './matmul.js';
import { normalizeImage, type NormalizeImageAttributes } from './normalize-image.js';
import type { OpRule } from './op.js';
import { adamW, sgd, type AdamWAttributes, type SgdAttributes } from './optimizer.js';
import * as pool from './pool.js';
import { relu, reluBackward } from './relu.js';
import { scaleChannels, scaleChannelsBackward } from './scale-channels.js';
import { sigmoid, sigmoidBackward } from './sigmoid.js';

type None = Record<never, never>;

export interface OpAttributes {
  normalizeImage: NormalizeImageAttributes;
  conv2d: conv.Conv2dForwardAttributes;
  packWeight: inference.PackWeightAttributes;
  conv2dInference: inference.Conv2dInferenceAttributes;
  conv2dBackwardInput: conv.Conv2dBackwardInputAttributes;
  conv2dBackwardWeight: conv.Conv2dBackwardWeightAttributes;
  conv2dBackward: conv.Conv2dBackwardAttributes;
  matmul: MatmulAttributes;
  addBias: None;
  sumToChannels: None;
  batchNorm: norm.BatchNormAttributes;
  batchNormInference: norm.BatchNormInferenceAttributes;
  batchNormBackward: None;
  batchNormStatistics: norm.BatchNormAttributes;
  batchNormFold: norm.BatchNormInferenceAttributes;
  scaleShift: parts.ScaleShiftAttributes;
  batchNormBackwardSums: parts.BackwardSumsAttributes;
  reluBackwardSums: parts.RunningAttributes;
  batchNormBackwardInput: parts.ReluAttributes;
  relu: None;
  reluBackward: None;
  add: None;
  sigmoid: None;
  sigmoidBackward: None;
  scaleChannels: None;
  scaleChannelsBackward: None;
  dropout: DropoutAttributes;
  identityShortcut: shortcut.IdentityShortcutAttributes;
  identityShortcutBackward: shortcut.IdentityShortcutBackwardAttributes;
  maxPool2d: pool.PoolAttributes;
  maxPool2dBackward: pool.PoolAttributes;
  avgPool2d: pool.AvgPoolAttributes;
  avgPool2dBackward: pool.AvgPoolBackwardAttributes;
  adaptiveAvgPool2d: adaptive.AdaptivePoolAttributes;
  adaptiveAvgPool2dBackward: adaptive.AdaptivePoolBackwardAttributes;
  nhwcToNchw: None;
  nchwToNhwc: None;
  reshape: ReshapeAttributes;
  softmaxCrossEntropy: None;
  softmaxCrossEntropyBackward: None;
  fill: FillAttributes;
  sgd: SgdAttributes;
  adamW: AdamWAttributes;
}

export type OpName = keyof OpAttributes;

export const opTable: { readonly [Op in OpName]: OpRule<OpAttributes[Op]> } = {
  normalizeImage,
  conv2d: conv.conv2d,
  packWeight: inference.packWeight,
  conv2dInference: inference.conv2dInference,
  conv2dBackwardInput: conv.conv2dBackwardInput,
  conv2dBackwardWeight: conv.conv2dBackwardWeight,
  conv2dBackward: conv.conv2dBackward,
  matmul,
  addBias,
  sumToChannels,
  batchNorm: norm.batchNorm,
  batchNormInference: norm.batchNormInference,
  batchNormBackward: norm.batchNormBackward,
  batchNormStatistics: parts.batchNormStatistics,
  batchNormFold: parts.batchNormFold,
  scaleShift: parts.scaleShift,
  batchNormBackwardSums: parts.batchNormBackwardSums,
  reluBackwardSums: parts.reluBackwardSums,
  batchNormBackwardInput: parts.batchNormBackwardInput,
  relu,
  reluBackward,
  add,
  sigmoid,
  sigmoidBackward,
  scaleChannels,
  scaleChannelsBackward,
  dropout,
  identityShortcut: shortcut.identityShortcut,
  identityShortcutBackward: shortcut.identityShortcutBackward,
  maxPool2d: pool.maxPool2d,
  maxPool2dBackward: pool.maxPool2dBackward,
  avgPool2d: pool.avgPool2d,
  avgPool2dBackward: pool.avgPool2dBackward,
  adaptiveAvgPool2d: adaptive.adaptiveAvgPool2d,
  adaptiveAvgPool2dBackward: adaptive.adaptiveAvgPool2dBackward,
  nhwcToNchw,
  nchwToNhwc,
  reshape,
  softmaxCrossEntropy,
  softmaxCrossEntropyBackward,
  fill,
  sgd,
  adamW,
};

/** The rule of an op that is known by its name only, as in a graph's node. */
export function ruleOf(op: string): OpRule<never> {
  if (!Object.hasOwn(opTable, op)) throw new Error(`internal: no op is called ${op}`);
  return opTable[op as OpName];
}
