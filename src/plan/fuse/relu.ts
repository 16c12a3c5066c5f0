/**
 * Joins what follows a batch normalisation to its affine map: relu, or the addition of the skip
 * connection and its relu. Backward, the relu's mask is computed again from the map's input, so
 * that its output need not be kept, or put on the sum of two gradients as it is formed, and summed at once.
 */
import type { Graph, Node, Value } from '../../graph/graph.js';
import { nodeLike, Reading, replaceNodes } from './rewrite.js';

/** relu(x·scale + shift) and relu(x·scale + shift + residual), one step each. */
export function joinRelu(graph: Graph): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const relu of graph.nodes) {
    if (relu.op !== 'relu') continue;
    const [input] = relu.inputs;
    const joined = affineOf(input!, reading) ?? residualOf(input!, reading);
    if (!joined) continue;
    for (const node of joined.dropped) replacements.set(node, []);
    const attributes = { relu: true, residualRelu: false };
    const node = nodeLike(relu, 'scaleShift', joined.inputs, relu.outputs, attributes);
    replacements.set(relu, [node]);
  }
  return replaceNodes(graph, replacements);
}

interface Joined {
  readonly inputs: readonly Value[];
  readonly dropped: readonly Node[];
}

/** The plain affine map that makes `value`, where nobody else needs it. */
function affineOf(value: Value, reading: Reading): Joined | undefined {
  const node = reading.producer(value);
  if (node?.op !== 'scaleShift' || node.inputs.length > 3 || node.attributes.relu) return undefined;
  return reading.onlyUser(value) ? { inputs: node.inputs, dropped: [node] } : undefined;
}

/** A sum of an affine map and anything, which may be an affine map too. */
function residualOf(value: Value, reading: Reading): Joined | undefined {
  const sum = reading.producer(value);
  if (sum?.op !== 'add' || !reading.onlyUser(value)) return undefined;
  const [a, b] = sum.inputs as readonly [Value, Value];
  if (a === b) return undefined;
  const [left, right] = [affineOf(a, reading), affineOf(b, reading)];
  const [map, residual] = left ? [left, b] : [right, a];
  if (!map) return undefined;
  const other = left ? right : undefined;
  return {
    inputs: [...map.inputs, ...(other?.inputs ?? [residual])],
    dropped: [sum, ...map.dropped, ...(other?.dropped ?? [])],
  };
}

/** reluBackward behind the sum of two gradients, the residual's and the skip connection's, adds them itself. */
export function joinGradientSums(graph: Graph): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const node of graph.nodes) {
    if (node.op !== 'reluBackward') continue;
    const [dy, y] = node.inputs as readonly [Value, Value];
    const sum = reading.producer(dy);
    if (sum?.op !== 'add' || !reading.onlyUser(dy)) continue;
    const [a, b] = sum.inputs as readonly [Value, Value];
    replacements.set(sum, []);
    replacements.set(node, [{ ...node, inputs: [a, y, b] }]);
  }
  return replaceNodes(graph, replacements);
}

const backwardParts = ['batchNormBackwardSums', 'batchNormBackwardInput'];

/** reluBackward whose mask the batch normalisation behind it can compute itself. */
export function recomputeMasks(graph: Graph): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const node of graph.nodes) {
    if (node.op !== 'reluBackward') continue;
    const [dy, y] = node.inputs as readonly [Value, Value];
    const [dx] = node.outputs as readonly [Value];
    const map = reading.producer(y);
    if (map?.op !== 'scaleShift' || map.inputs.length > 3 || reading.isKept(dx)) continue;
    const [x, scale, shift] = map.inputs as readonly [Value, Value, Value];
    const users = reading.uses(dx);
    const fits = ({ node: user, input }: { readonly node: Node; readonly input: number }) =>
      backwardParts.includes(user.op) && input === 0 && user.inputs[1] === x;
    if (!users.every(fits)) continue;
    replacements.set(node, []);
    for (const { node: user } of users) {
      const inputs = [dy, ...user.inputs.slice(1), scale, shift];
      replacements.set(user, [{ ...user, inputs, attributes: { ...user.attributes, relu: true } }]);
    }
  }
  return replaceNodes(graph, replacements);
}

/**
 * reluBackward in front of a batch normalisation, as a block's end is, makes the normalisation's sums of what
 * it stores. (Of several normalisations that read it, as behind a shortcut with one of its own, those of the
 * first.)
 */
export function joinBackwardSums(graph: Graph): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const node of graph.nodes) {
    if (node.op !== 'reluBackward') continue;
    const [dy, y, ...other] = node.inputs as readonly [Value, Value, ...Value[]];
    const [dx] = node.outputs as readonly [Value];
    // In the place of the sums: what they read beside it, as of running statistics, may be made before them.
    const [first] = reading.uses(dx);
    if (first?.node.op !== 'batchNormBackwardSums' || first.input !== 0) continue;
    const { relu, running } = first.node.attributes;
    if (relu) continue;
    const inputs = [dy, y, ...first.node.inputs.slice(1), ...other];
    const outputs = [dx, ...first.node.outputs];
    replacements.set(node, []);
    replacements.set(first.node, [
      nodeLike(node, 'reluBackwardSums', inputs, outputs, { running: running === true }),
    ]);
  }
  return replaceNodes(graph, replacements);
}
