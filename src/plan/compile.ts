/**
 * From a Graph to a Plan: fuse, choose how maps are stored, drop what is not needed, order, prepare,
 * share memory, choose algorithms, place buffers, lower. Each pass is a function in a file of its own.
 */
import type { Capabilities } from '../backend/backend.js';
import { byteLength, type Graph, type Node, type Value } from '../graph/graph.js';
import { ruleOf } from '../ops/table.js';
import { roundUp, type ConvChoice } from './algorithms.js';
import { convolutionChoices } from './convolutions.js';
import { fuse } from './fuse/fuse.js';
import {
  lowerTable,
  type ConvPlace,
  type LowerContext,
  type LoweredOp,
  type LoweredStep,
} from './lower.js';
import { placeBuffers, type Buffer } from './memory.js';
import { stepsOfParts } from './parts.js';
import { storeMaps, type Precision } from './precision.js';
import { preparationFirst } from './prepare.js';
import { slotAlignment, type Plan, type Slot, type StateLayout, type Step } from './plan.js';
import { liveNodes, updatesEarly } from './schedule.js';
import { assignStorage } from './storage.js';

/**
 * Compiles `source` for a backend of these capabilities. Graphs of one model that are to share a
 * backend's memory are given the layout of the largest one's state. `precision` is that of the maps.
 */
export function compilePlan(
  source: Graph,
  given: Capabilities,
  state: StateLayout = layOutState(source),
  precision: Precision = 'fp32',
): Plan {
  // An image is predicted alike alone and among others; a training step has one batch size.
  const capabilities = { forAnyBatch: source.updates.size === 0, ...given };
  const graph = storeMaps(fuse(source, capabilities), precision);
  const ordered = updatesEarly(liveNodes(graph), [...graph.updates.values()]);
  const { nodes, count: preparation } = preparationFirst(graph, ordered);
  const storage = assignStorage(graph, nodes, state.slots, preparation);
  const passes = nodes.map((node, i) =>
    convolutionChoices(node, capabilities).map((choice) => ({
      choice,
      workspace: workspaceOf(choice, i),
    })),
  );

  const workspaces = passes.flat().map(({ workspace }) => workspace);
  const buffers = new Set<Buffer>(workspaces.filter((buffer) => buffer !== null));
  for (const place of storage.values()) if (place.kind === 'buffer') buffers.add(place.buffer);
  const { offsets, bytes } = placeBuffers([...buffers], state.bytes);

  const slotOf = ({ id, shape, dtype }: Value): Slot => {
    const place = storage.get(id);
    if (!place) throw new Error(`internal: %${id} has no storage`);
    const offset = place.kind === 'state' ? place.slot.offset : offsets.get(place.buffer)!;
    return { offset, shape, dtype };
  };
  const steps: Step[] = [];
  const paths: string[] = [];
  const stepFlops: number[] = [];
  let prepareSteps = 0;
  nodes.forEach((node, i) => {
    const places = passes[i]!.map(({ choice, workspace }) => ({
      choice,
      workspace: workspace && bytesSlot(workspace, offsets),
    }));
    for (const { step, flops } of lower(node, slotOf, places)) {
      steps.push(step);
      if (i < preparation) prepareSteps++;
      paths.push(node.path);
      stepFlops.push(flops);
    }
  });

  return {
    inputs: slotsOf(graph.inputs, slotOf),
    outputs: slotsOf(graph.outputs, slotOf),
    state,
    steps,
    prepareSteps,
    paths,
    arenaBytes: bytes,
    stepFlops,
    flops: stepFlops.reduce((sum, flops) => sum + flops, 0),
  };
}

/** State in the order of the graph, at the arena's start. */
export function layOutState(graph: Graph): StateLayout {
  const slots: Record<string, Slot> = {};
  let bytes = 0;
  for (const [name, { shape, dtype }] of graph.state) {
    slots[name] = { offset: bytes, shape, dtype };
    bytes += roundUp(byteLength(shape, dtype), slotAlignment);
  }
  return { bytes, slots };
}

/** Floating-point operations of one node, a multiply-add counted as two. */
export function flopsOf(node: Node): number {
  return ruleOf(node.op).flops?.(node.inputs, node.outputs, node.attributes as never) ?? 0;
}

function lower(
  node: Node,
  slotOf: (value: Value) => Slot,
  places: readonly ConvPlace[],
): readonly LoweredStep[] {
  if (ruleOf(node.op).view) return [];
  const context = {
    inputs: node.inputs.map(slotOf),
    outputs: node.outputs.map(slotOf),
    attributes: node.attributes as never,
  };
  if (node.op === 'conv2dBackward') return stepsOfParts(context, places[0]!, places[1]!);
  const row = lowerTable[node.op as LoweredOp] as (context: LowerContext<never>) => Step;
  const place = places[0] ?? { choice: null, workspace: null };
  return [{ step: row({ ...context, ...place }), flops: flopsOf(node) }];
}

/** Scratch that lives as long as the node runs. */
function workspaceOf({ workspaceBytes }: ConvChoice, node: number): Buffer | null {
  return workspaceBytes > 0 ? { bytes: workspaceBytes, first: node, last: node } : null;
}

function slotsOf(values: ReadonlyMap<string, Value>, slotOf: (value: Value) => Slot) {
  return Object.fromEntries([...values].map(([name, value]) => [name, slotOf(value)]));
}

function bytesSlot(buffer: Buffer, offsets: ReadonlyMap<Buffer, number>): Slot {
  return { offset: offsets.get(buffer)!, shape: [buffer.bytes / 4], dtype: 'f32' };
}
