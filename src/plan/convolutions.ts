/** A graph's convolutions: their sizes, and the algorithm that the plan takes for each. */
import type { Capabilities } from '../backend/backend.js';
import type { Node, Value } from '../graph/graph.js';
import type { Conv2dAttributes } from '../ops/conv2d.js';
import {
  chooseConvAlgorithm,
  type ConvChoice,
  type ConvPass,
  type ConvSizes,
} from './algorithms.js';

/** Which tensor of a convolution's node is which: input (N,H,W,C), output (N,OH,OW,K), weight. */
const tensors: Readonly<Record<ConvPass, (node: Node) => readonly Value[]>> = {
  conv2d: ({ inputs: [x, weight], outputs: [y] }) => [x!, y!, weight!],
  conv2dInference: ({ inputs: [x, weight], outputs: [y] }) => [x!, y!, weight!],
  conv2dBackwardInput: ({ inputs: [dy, weight], outputs: [dx] }) => [dx!, dy!, weight!],
  conv2dBackwardWeight: ({ inputs: [x, dy], outputs: [dweight] }) => [x!, dy!, dweight!],
};

const isPass = (op: string): op is ConvPass => Object.hasOwn(tensors, op);

/** Null where the node is no convolution. */
export function convolutionSizes(node: Node): ConvSizes | null {
  if (!isPass(node.op)) return null;
  const [x, y, weight] = tensors[node.op](node);
  const [N, H, W, C] = x!.shape as [number, number, number, number];
  const [, OH, OW, K] = y!.shape as [number, number, number, number];
  const [, R, S] = weight!.shape as [number, number, number, number];
  const { stride, padding, groups = 1 } = node.attributes as Conv2dAttributes;
  return { N, H, W, C, K, R, S, OH, OW, stride, padding, groups };
}

/** Null where the node is no convolution. */
export function convolutionChoice(node: Node, capabilities: Capabilities): ConvChoice | null {
  const sizes = convolutionSizes(node);
  return sizes && chooseConvAlgorithm(node.op as ConvPass, sizes, capabilities);
}
