/**
 * Folds into a convolution what follows it in evaluation, where weights stay as they are: the
 * batch normalisation's scale goes into the packed weight, its shift, the skip connection and relu
 * into the store. A residual block is then two steps, and each passes over memory once.
 */
import type { Capabilities } from '../../backend/backend.js';
import type { Graph, Node, Value } from '../../graph/graph.js';
import type { Conv2dAttributes } from '../../ops/conv2d.js';
import { packedShape } from '../../ops/conv2d-inference.js';
import { chooseConvAlgorithm, transformsOnce } from '../algorithms.js';
import { convolutionSizes } from '../convolutions.js';
import { constantValues } from '../prepare.js';
import { nodeLike, Reading, replaceNodes } from './rewrite.js';

/** conv2d and the affine map or bias behind it: packWeight and conv2dInference. */
export function foldAffineMaps(graph: Graph, capabilities: Capabilities): Graph {
  if (!capabilities.fusions?.convInference) return graph;
  const reading = new Reading(graph);
  const constant = constantValues(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const map of graph.nodes) {
    const vectors = vectorsOf(map);
    const convolution = vectors && reading.producer(map.inputs[0]!);
    if (convolution?.op !== 'conv2d' || !reading.onlyUser(map.inputs[0]!)) continue;
    const [x, weight, ...prologue] = convolution.inputs as readonly [Value, Value, ...Value[]];
    const { scale, shift } = vectors!;
    const stay = [weight, shift, ...(scale ? [scale] : [])].every(({ id }) => constant.has(id));
    if (!stay || prologue.length > 0 || convolution.outputs.length > 1) continue;
    const { stride, padding, groups = 1 } = convolution.attributes as Conv2dAttributes;
    if (groups > 1) continue;
    const transformed = isTransformed(convolution, capabilities);
    const packed = reading.newValue(...packedShape(weight.shape, transformed));
    const pack = { transformed, stride };
    const attributes = { stride, padding, transformed, relu: false };
    replacements.set(convolution, []);
    replacements.set(map, [
      nodeLike(convolution, 'packWeight', scale ? [weight, scale] : [weight], [packed], pack),
      nodeLike(convolution, 'conv2dInference', [x, packed, shift], map.outputs, attributes),
    ]);
  }
  return replaceNodes(graph, replacements);
}

/** Whether its weights are to be packed in the Winograd domain. */
function isTransformed(convolution: Node, capabilities: Capabilities): boolean {
  const sizes = convolutionSizes(convolution)!;
  const { algorithm } = chooseConvAlgorithm('conv2dInference', sizes, capabilities);
  return algorithm === 'winograd' && transformsOnce(sizes);
}

/** Scale and shift of a plain affine map, the shift alone of a bias. */
function vectorsOf({ op, inputs, attributes }: Node) {
  const [, first, second] = inputs as readonly [Value, Value, Value?];
  if (op === 'addBias') return { scale: null, shift: first };
  const plain = op === 'scaleShift' && inputs.length === 3 && !attributes.relu;
  return plain ? { scale: first, shift: second! } : undefined;
}

/** The sum of a convolution and anything becomes the convolution's store. */
export function joinResiduals(graph: Graph): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const sum of graph.nodes) {
    if (sum.op !== 'add') continue;
    const [a, b] = sum.inputs as readonly [Value, Value];
    const first = storing(a, reading);
    const convolution = first ?? storing(b, reading);
    if (!convolution || a === b) continue;
    const inputs = [...convolution.inputs, first ? b : a];
    replacements.set(convolution, []);
    replacements.set(sum, [{ ...convolution, inputs, outputs: sum.outputs }]);
  }
  return replaceNodes(graph, replacements);
}

/** A relu behind a convolution becomes its store, behind the addition where there is one. */
export function joinInferenceRelu(graph: Graph): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const relu of graph.nodes) {
    const convolution = relu.op === 'relu' && inference(relu.inputs[0]!, reading);
    if (!convolution) continue;
    const attributes = { ...convolution.attributes, relu: true };
    replacements.set(convolution, []);
    replacements.set(relu, [{ ...convolution, attributes, outputs: relu.outputs }]);
  }
  return replaceNodes(graph, replacements);
}

/** The convolution that makes `value` for one reader, without a relu of its own. */
function inference(value: Value, reading: Reading): Node | undefined {
  const node = reading.producer(value);
  if (node?.op !== 'conv2dInference' || node.attributes.relu) return undefined;
  return reading.onlyUser(value) ? node : undefined;
}

/** The same, without a residual yet. */
function storing(value: Value, reading: Reading): Node | undefined {
  const node = inference(value, reading);
  return node?.inputs.length === 3 ? node : undefined;
}
