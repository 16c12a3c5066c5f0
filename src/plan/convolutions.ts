/** A graph's convolutions: their sizes, and the algorithm that the plan takes for each. */
import type { Capabilities } from '../backend/backend.js';
import type { Node, Value } from '../graph/graph.js';
import type { Conv2dAttributes, Conv2dBackwardAttributes } from '../ops/conv2d.js';
import {
  chooseConvAlgorithm,
  type ConvChoice,
  type ConvPass,
  type ConvSizes,
} from './algorithms.js';

/** Which tensor of a convolution's node is which: input (N,H,W,C), output (N,OH,OW,K), weight. */
const tensors: Readonly<Record<ConvPass | 'conv2dBackward', (node: Node) => readonly Value[]>> = {
  conv2d: ({ inputs: [x, weight], outputs: [y] }) => [x!, y!, weight!],
  conv2dInference: ({ inputs: [x, weight], outputs: [y] }) => [x!, y!, weight!],
  conv2dBackwardInput: ({ inputs: [dy, weight], outputs: [dx] }) => [dx!, dy!, weight!],
  conv2dBackwardWeight: ({ inputs: [x, dy], outputs: [dweight] }) => [x!, dy!, dweight!],
  conv2dBackward: ({ inputs: [x, weight, dy] }) => [x!, dy!, weight!],
};

const isConvolution = (op: string): op is keyof typeof tensors => Object.hasOwn(tensors, op);

/** Null where the node is no convolution. */
export function convolutionSizes(node: Node): ConvSizes | null {
  if (!isConvolution(node.op)) return null;
  const [x, y, weight] = tensors[node.op](node);
  const [N, H, W, C] = x!.shape as [number, number, number, number];
  const [, OH, OW, K] = y!.shape as [number, number, number, number];
  const [, R, S] = weight!.shape as [number, number, number, number];
  const { stride, padding, groups = 1 } = node.attributes as Conv2dAttributes;
  return { N, H, W, C, K, R, S, OH, OW, stride, padding, groups };
}

/** Null where the node is not one pass of a convolution. */
export function convolutionChoice(node: Node, capabilities: Capabilities): ConvChoice | null {
  const sizes = convolutionSizes(node);
  if (!sizes || node.op === 'conv2dBackward') return null;
  return chooseConvAlgorithm(node.op as ConvPass, sizes, capabilities);
}

/** Of each pass that a node makes: none, one, or those of a part, the input's before the weight's. */
export function convolutionChoices(node: Node, capabilities: Capabilities): readonly ConvChoice[] {
  if (node.op !== 'conv2dBackward') {
    const choice = convolutionChoice(node, capabilities);
    return choice ? [choice] : [];
  }
  const { partImages } = node.attributes as Conv2dBackwardAttributes;
  return gradientChoices(convolutionSizes(node)!, partImages, capabilities);
}

/** Of both gradients, for so many images. */
export function gradientChoices(
  sizes: ConvSizes,
  images: number,
  capabilities: Capabilities,
): readonly ConvChoice[] {
  return (['conv2dBackwardInput', 'conv2dBackwardWeight'] as const).map((pass) =>
    chooseConvAlgorithm(pass, { ...sizes, N: images }, capabilities),
  );
}
