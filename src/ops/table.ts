/**
 * Every op by name. The table is an exhaustive mapped type: an op without a shape rule or without
 * a word on its gradient does not compile.
 */
import { add } from './add.js';
import * as norm from './batch-norm.js';
import * as parts from './batch-norm-parts.js';
import { addBias, sumToChannels } from './bias.js';
import * as conv from './conv2d.js';
import * as inference from './conv2d-inference.js';
import { softmaxCrossEntropy, softmaxCrossEntropyBackward } from './cross-entropy.js';
import { fill, type FillAttributes } from './fill.js';
import { nchwToNhwc, nhwcToNchw, reshape, type ReshapeAttributes } from './layout.js';
import { matmul, type MatmulAttributes } from './matmul.js';
import { normalizeImage, type NormalizeImageAttributes } from './normalize-image.js';
import type { OpRule } from './op.js';
import { adamW, sgd, type AdamWAttributes, type SgdAttributes } from './optimizer.js';
import * as pool from './pool.js';
import { relu, reluBackward } from './relu.js';

type None = Record<never, never>;

export interface OpAttributes {
  normalizeImage: NormalizeImageAttributes;
  conv2d: conv.Conv2dForwardAttributes;
  packWeight: inference.PackWeightAttributes;
  conv2dInference: inference.Conv2dInferenceAttributes;
  conv2dBackwardInput: conv.Conv2dBackwardInputAttributes;
  conv2dBackwardWeight: conv.Conv2dBackwardWeightAttributes;
  matmul: MatmulAttributes;
  addBias: None;
  sumToChannels: None;
  batchNorm: norm.BatchNormAttributes;
  batchNormInference: norm.BatchNormInferenceAttributes;
  batchNormBackward: None;
  batchNormStatistics: norm.BatchNormAttributes;
  batchNormFold: norm.BatchNormInferenceAttributes;
  scaleShift: parts.ReluAttributes;
  batchNormBackwardSums: parts.ReluAttributes;
  batchNormBackwardInput: parts.ReluAttributes;
  relu: None;
  reluBackward: None;
  add: None;
  maxPool2d: pool.PoolAttributes;
  maxPool2dBackward: pool.PoolAttributes;
  avgPool2d: pool.PoolAttributes;
  avgPool2dBackward: pool.AvgPoolBackwardAttributes;
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
  batchNormBackwardInput: parts.batchNormBackwardInput,
  relu,
  reluBackward,
  add,
  maxPool2d: pool.maxPool2d,
  maxPool2dBackward: pool.maxPool2dBackward,
  avgPool2d: pool.avgPool2d,
  avgPool2dBackward: pool.avgPool2dBackward,
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
