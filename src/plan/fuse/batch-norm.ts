/**
 * Takes batch normalisation apart: statistics and an affine map forward, sums and an affine map
 * backward. The parts are what later passes move.
 */
import type { Graph, Node, Value } from '../../graph/graph.js';
import { nodeLike, Reading, replaceNodes } from './rewrite.js';

export function splitBatchNorm(graph: Graph): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const node of graph.nodes) {
    const parts = partsOf(node, reading);
    if (parts) replacements.set(node, parts);
  }
  return replaceNodes(graph, replacements);
}

function partsOf(node: Node, reading: Reading): Node[] | undefined {
  switch (node.op) {
    case 'batchNorm':
      return forward(node, reading);
    case 'batchNormBackward':
      return backward(node, reading);
    case 'batchNormInference':
      return inference(node, reading);
    default:
      return undefined;
  }
}

const plainMap = { relu: false, residualRelu: false };

type Tuple<N extends number> = readonly Value[] & { readonly length: N };

function forward(node: Node, reading: Reading): Node[] {
  const [y, ...statistics] = node.outputs as Tuple<5> & readonly [Value, ...Value[]];
  const [x, weight] = node.inputs as readonly [Value, Value];
  const [scale, shift] = [reading.newValue(...weight.shape), reading.newValue(...weight.shape)];
  const { attributes } = node;
  return [
    nodeLike(node, 'batchNormStatistics', node.inputs, [scale, shift, ...statistics], attributes),
    nodeLike(node, 'scaleShift', [x, scale, shift], [y], plainMap),
  ];
}

function inference(node: Node, reading: Reading): Node[] {
  const [x, weight, ...rest] = node.inputs as readonly [Value, Value, ...Value[]];
  const [scale, shift] = [reading.newValue(...weight.shape), reading.newValue(...weight.shape)];
  const fold = [weight, ...rest];
  return [
    nodeLike(node, 'batchNormFold', fold, [scale, shift], node.attributes),
    nodeLike(node, 'scaleShift', [x, scale, shift], node.outputs, plainMap),
  ];
}

function backward(node: Node, reading: Reading): Node[] {
  const [dy, x, , mean] = node.inputs as readonly [Value, Value, Value, Value];
  const [dx, dweight, dbias] = node.outputs as readonly [Value, Value, Value];
  const factors = reading.newValue(3, ...mean.shape);
  const sums = [dweight, dbias, factors];
  return [
    nodeLike(node, 'batchNormBackwardSums', node.inputs, sums, { relu: false, running: false }),
    nodeLike(node, 'batchNormBackwardInput', [dy, x, mean, factors], [dx], { relu: false }),
  ];
}
