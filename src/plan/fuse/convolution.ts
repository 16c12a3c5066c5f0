/**
 * Gives convolutions what lies before and behind them: a batch normalisation's affine map and relu as
 * they load their input, and its statistics as they store their output. The map's result is then
 * never stored, neither for the forward pass nor for the weight's gradient.
 */
import type { Capabilities } from '../../backend/backend.js';
import type { Graph, Node, Value } from '../../graph/graph.js';
import { statisticsBlocks } from '../algorithms.js';
import { convolutionChoice, convolutionSizes } from '../convolutions.js';
import type { ConvAlgorithm } from '../plan.js';
import { nodeLike, Reading, replaceNodes, type Use } from './rewrite.js';

/**
 * relu(x·scale + shift) that only convolutions and sums behind a skip connection read becomes their
 * prologue.
 */
export function joinPrologues(graph: Graph, capabilities: Capabilities): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, Node>();
  const current = (node: Node) => replacements.get(node) ?? node;
  const dropped = new Set<Node>();
  for (const map of graph.nodes) {
    if (map.op !== 'scaleShift' || map.inputs.length > 3 || !map.attributes.relu) continue;
    const [y] = map.outputs as readonly [Value];
    const [x, scale, shift] = map.inputs as readonly [Value, Value, Value];
    const uses = reading.uses(y);
    const fits = uses.every((use) => isResidual(use) || takesPrologue(use, capabilities));
    if (!fits || uses.length === 0 || reading.isKept(y)) continue;
    dropped.add(map);
    for (const use of uses) {
      const { inputs, attributes, ...node } = current(use.node);
      const skips = isResidual(use);
      replacements.set(use.node, {
        ...node,
        inputs: [...inputs.with(use.input, x), scale, shift],
        attributes: skips ? { ...attributes, residualRelu: true } : attributes,
      });
    }
  }
  const all = new Map<Node, readonly Node[]>();
  for (const [node, replacement] of replacements) all.set(node, [replacement]);
  for (const node of dropped) all.set(node, []);
  return replaceNodes(graph, all);
}

function takesPrologue({ node, input }: Use, capabilities: Capabilities): boolean {
  return (
    ['conv2d', 'conv2dBackwardWeight'].includes(node.op) &&
    input === 0 &&
    offers(capabilities.fusions?.convPrologue, node, capabilities)
  );
}

/** Whether it is what a block's end adds, without a map of its own so far. */
const isResidual = ({ node, input }: Use) =>
  node.op === 'scaleShift' && input === 3 && node.inputs.length === 4;

/** The statistics of a convolution's output are summed as it is stored. */
export function joinStatistics(graph: Graph, capabilities: Capabilities): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const node of graph.nodes) {
    if (node.op !== 'batchNormStatistics') continue;
    const convolution = reading.producer(node.inputs[0]!);
    if (convolution?.op !== 'conv2d' || replacements.has(convolution)) continue;
    if (!offers(capabilities.fusions?.convStatistics, convolution, capabilities)) continue;
    const { cut } = convolutionChoice(convolution, capabilities)!;
    const sizes = convolutionSizes(convolution)!;
    const blocks = statisticsBlocks(sizes, cut);
    const partials = reading.newValue(blocks, 3, sizes.K);
    const attributes = { ...convolution.attributes, statisticsBlocks: blocks };
    const outputs = [...convolution.outputs, partials];
    replacements.set(convolution, [{ ...convolution, outputs, attributes }]);
    const inputs = [...node.inputs, partials];
    replacements.set(node, [
      nodeLike(node, 'batchNormStatistics', inputs, node.outputs, node.attributes),
    ]);
  }
  return replaceNodes(graph, replacements);
}

/**
 * The sum of a convolution's gradient and another becomes part of the convolution, in the place of the
 * sum: behind a stride most of its own gradient is zero, and what it leaves alone need not be touched.
 */
export function joinGradients(graph: Graph, capabilities: Capabilities): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const sum of graph.nodes) {
    if (sum.op !== 'add') continue;
    const [a, b] = sum.inputs as readonly [Value, Value];
    const joins = (value: Value) => {
      const node = reading.producer(value);
      if (node?.op !== 'conv2dBackwardInput' || node.inputs.length > 2) return undefined;
      if (!reading.onlyUser(value)) return undefined;
      return offers(capabilities.fusions?.convGradientSum, node, capabilities) ? node : undefined;
    };
    const [ofA, ofB] = [joins(a), joins(b)];
    const node = ofB ?? ofA;
    if (!node) continue;
    replacements.set(node, []);
    const inputs = [...node.inputs, node === ofB ? a : b];
    replacements.set(sum, [{ ...node, inputs, outputs: sum.outputs }]);
  }
  return replaceNodes(graph, replacements);
}

/**
 * The gradient of a batch normalisation's input that only the weight's pass reads, as behind the first
 * convolution, is made there, from what it would be made of. (The passes of Winograd load their tiles more
 * slowly than a pass of its own goes through the map: there it does not pay.)
 */
export function joinNormGradients(graph: Graph, capabilities: Capabilities): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const norm of graph.nodes) {
    if (norm.op !== 'batchNormBackwardInput') continue;
    const [dx] = norm.outputs as readonly [Value];
    const [dy, ...rest] = norm.inputs as readonly [Value, ...Value[]];
    const pass = reading.onlyUser(dx);
    if (pass?.op !== 'conv2dBackwardWeight' || pass.inputs[1] !== dx) continue;
    if (!offers(capabilities.fusions?.convNormGradient, pass, capabilities)) continue;
    const [x, , ...prologue] = pass.inputs as readonly [Value, Value, ...Value[]];
    const attributes = { ...pass.attributes, normInputs: rest.length };
    replacements.set(norm, []);
    replacements.set(pass, [{ ...pass, inputs: [x, dy, ...rest, ...prologue], attributes }]);
  }
  return replaceNodes(graph, replacements);
}

/**
 * An image that only convolutions read is normalised as they load it. They load whole rows: those of a task
 * are to fit into its thread's memory.
 */
export function joinNormalization(graph: Graph, capabilities: Capabilities): Graph {
  const reading = new Reading(graph);
  const replacements = new Map<Node, readonly Node[]>();
  for (const normalization of graph.nodes) {
    if (normalization.op !== 'normalizeImage') continue;
    const [bytes] = normalization.inputs as readonly [Value];
    const [image] = normalization.outputs as readonly [Value];
    const uses = reading.uses(image);
    const fits = uses.every((use) => loadsBytes(use, capabilities));
    if (!fits || uses.length === 0 || reading.isKept(image)) continue;
    replacements.set(normalization, []);
    for (const { node } of uses) {
      const attributes = { ...node.attributes, ...normalization.attributes };
      replacements.set(node, [{ ...node, inputs: node.inputs.with(0, bytes), attributes }]);
    }
  }
  return replaceNodes(graph, replacements);
}

/** What a task has of its thread's 8 MiB for an image's rows, in numbers. */
const mostImageNumbers = 2 ** 18;

function loadsBytes({ node, input }: Use, capabilities: Capabilities): boolean {
  const reads = ['conv2d', 'conv2dInference', 'conv2dBackwardWeight'].includes(node.op);
  if (!reads || input !== 0) return false;
  const { N, H, W, C, R, OH, OW, stride } = convolutionSizes(node)!;
  // A block of 128 outputs, cut by rows and by images, and the rows that no output reaches.
  const outputRows = Math.ceil(128 / OW) + 1;
  const images = Math.ceil(outputRows / OH) + 1;
  const rows = Math.min(N * H, outputRows * stride + images * (R + 2 * stride));
  if (rows * W * C > mostImageNumbers) return false;
  return offers(capabilities.fusions?.convNormalization, node, capabilities);
}

function offers(
  algorithms: readonly ConvAlgorithm[] | undefined,
  node: Node,
  capabilities: Capabilities,
): boolean {
  const choice = convolutionChoice(node, capabilities);
  return choice !== null && (algorithms ?? []).includes(choice.algorithm);
}
