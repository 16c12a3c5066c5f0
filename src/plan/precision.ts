/**
 * Mixed precision: which values are stored as bfloat16, the upper half of a float32.
 *
 * Those are the maps, the (N, H, W, C) tensors between the convolutions and their gradients, where
 * nearly all of a training step's memory is. Weights, statistics, what is behind the last pooling,
 * and every sum stay float32. Source: Kalamkar et al. 2019, arXiv 1905.12322; Micikevicius et al.
 * 2018, arXiv 1710.03740 (master weights).
 */
import type { Graph, Node, Value } from '../graph/graph.js';
import type { OpName } from '../ops/table.js';

/** `fp32`: every number is a float32. `bf16`: maps are stored as bfloat16. */
export type Precision = 'fp32' | 'bf16';

export const precisions: readonly Precision[] = ['fp32', 'bf16'];

/** Indices of inputs and outputs of an op that have one type. */
interface Alike {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

const alike = (inputs: readonly number[], outputs: readonly number[]): Alike => {
  return { inputs, outputs };
};

/**
 * Where an op reads and writes maps. Everything else that an op reads or writes, and all of an op
 * that is not here, is float32.
 */
const mapOperands: Partial<Readonly<Record<OpName, readonly Alike[]>>> = {
  normalizeImage: [alike([], [0])],
  conv2d: [alike([0], [0])],
  conv2dBackwardInput: [alike([0, 2], [0])],
  conv2dBackwardWeight: [alike([0, 1], [])],
  conv2dBackward: [alike([0, 2, 3], [0, 2])],
  addBias: [alike([0], [0])],
  sumToChannels: [alike([0], [])],
  batchNorm: [alike([0], [0])],
  batchNormInference: [alike([0], [0])],
  batchNormBackward: [alike([0, 1], [0])],
  batchNormStatistics: [alike([0], [])],
  scaleShift: [alike([0, 3], [0])],
  batchNormBackwardSums: [alike([0, 1], [])],
  reluBackwardSums: [alike([0, 1, 2, 6], [0])],
  batchNormBackwardInput: [alike([0, 1], [0])],
  relu: [alike([0], [0])],
  reluBackward: [alike([0, 1, 2], [0])],
  add: [alike([0, 1], [0])],
  scaleChannels: [alike([0], [0])],
  scaleChannelsBackward: [alike([0, 1], [])],
  identityShortcut: [alike([0], [0])],
  identityShortcutBackward: [alike([0], [0])],
  maxPool2d: [alike([0], [0])],
  maxPool2dBackward: [alike([0, 1], [0])],
  // What is averaged over a whole image is behind the last map.
  avgPool2d: [alike([0], []), alike([], [0])],
  avgPool2dBackward: [alike([0], []), alike([], [0])],
  adaptiveAvgPool2d: [alike([0], [])],
  adaptiveAvgPool2dBackward: [alike([], [0])],
};

/** Of a node: what a weight's gradient makes its dy from is a map as well. */
export function mapsOf({ op, attributes }: Node): readonly Alike[] {
  const groups = mapOperands[op as OpName] ?? [];
  return op === 'conv2dBackwardWeight' && attributes.normInputs ? [alike([0, 1, 2], [])] : groups;
}

/**
 * The graph with its maps stored in this precision. Inputs, outputs and state keep their types; so
 * does a map that an op shares with something that cannot be bfloat16.
 */
export function storeMaps(graph: Graph, precision: Precision): Graph {
  if (precision === 'fp32') return graph;
  const inFloats = floatValues(graph);
  const retyped = (value: Value): Value =>
    value.dtype === 'f32' && !inFloats.has(value.id) ? { ...value, dtype: 'bf16' } : value;
  const nodes = graph.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(retyped),
    outputs: node.outputs.map(retyped),
  }));
  return { ...graph, nodes };
}

/** All values that have to be float32: what ops, the graph's ends and other such values ask for. */
function floatValues(graph: Graph): ReadonlySet<number> {
  const ends = [graph.inputs, graph.state, graph.outputs, graph.updates];
  const floats = new Set(ends.flatMap((values) => [...values.values()].filter(isFloat).map(idOf)));
  const groups = graph.nodes.flatMap((node) => {
    const maps = mapsOf(node).map((group) => valuesOf(node, group));
    const others = [...node.inputs, ...node.outputs].map(idOf);
    const known = new Set(maps.flat());
    for (const id of others) if (!known.has(id)) floats.add(id);
    return maps;
  });
  for (let before = -1; before < floats.size;) {
    before = floats.size;
    for (const ids of groups) {
      if (ids.some((id) => floats.has(id))) ids.forEach((id) => floats.add(id));
    }
  }
  return floats;
}

function valuesOf({ inputs, outputs }: Node, group: Alike): number[] {
  const values = [...group.inputs.map((i) => inputs[i]), ...group.outputs.map((i) => outputs[i])];
  return values.filter((value) => value !== undefined).map(idOf);
}

const isFloat = ({ dtype }: Value) => dtype === 'f32';
const idOf = ({ id }: Value) => id;
