/**
 * Which values share a buffer: views, updates in place, and element-wise results that may take
 * their dying input's memory. Lives are counted here, places are found in memory.ts.
 */
import { byteLength, type Graph, type Node, type Value } from '../graph/graph.js';
import { ruleOf } from '../ops/table.js';
import type { Buffer } from './memory.js';
import type { Slot } from './plan.js';

/** A value lives in a buffer of its own making, or in the memory of a state entry. */
export type Storage =
  | { readonly kind: 'buffer'; readonly buffer: Buffer }
  | { readonly kind: 'state'; readonly slot: Slot };

/** The storage of every value that `nodes` touch; the first `preparation` of them need not run again. */
export function assignStorage(
  graph: Graph,
  nodes: readonly Node[],
  stateSlots: Readonly<Record<string, Slot>>,
  preparation = 0,
): Map<number, Storage> {
  const storage = new Map<number, Storage>();
  const lastUse = lastUses(graph, nodes, preparation);
  const pinned = new Set([...graph.inputs.values(), ...graph.outputs.values()].map(({ id }) => id));

  for (const [name, value] of graph.state) {
    const slot = stateSlots[name];
    if (!slot) throw new Error(`internal: state ${name} has no slot`);
    storage.set(value.id, { kind: 'state', slot });
  }
  for (const value of graph.inputs.values()) storage.set(value.id, newBuffer(value, 0));

  const newState = new Map([...graph.updates].map(([name, value]) => [value.id, name]));
  nodes.forEach((node, i) => {
    const rule = ruleOf(node.op);
    node.outputs.forEach((output, index) => {
      const state = newState.get(output.id);
      if (state !== undefined) {
        const old = graph.state.get(state)!;
        if (rule.view || !mayUpdate(node, index, old)) {
          throw new Error(`internal: ${node.op} does not update ${state} in place`);
        }
        if ((lastUse.get(old.id) ?? i) > i) {
          throw new Error(`internal: ${state} is read after its update`);
        }
        storage.set(output.id, { kind: 'state', slot: stateSlots[state]! });
      } else if (rule.view) {
        storage.set(output.id, storage.get(node.inputs[0]!.id)!);
      } else {
        const reused = index === 0 ? overwritable(node, i, storage, lastUse, pinned) : undefined;
        storage.set(output.id, reused ?? newBuffer(output, i));
      }
    });
    for (const value of [...node.inputs, ...node.outputs]) {
      const place = storage.get(value.id)!;
      if (place.kind === 'buffer') {
        place.buffer.last = Math.max(place.buffer.last, i, lastUse.get(value.id) ?? i);
      }
    }
  });
  return storage;
}

/** Whether output `index` may be written over `old`: by the op's own rule, or as it does not read it. */
function mayUpdate(node: Node, index: number, old: Value): boolean {
  const { replaces, mayOverwrite = [] } = ruleOf(node.op);
  const replaced = replaces?.[index];
  if (replaced !== undefined) return node.inputs[replaced] === old;
  return node.inputs.every((input, i) => {
    return input !== old || (index === 0 && mayOverwrite.includes(i));
  });
}

/** The dying input whose memory the node's first output may take. */
function overwritable(
  node: Node,
  position: number,
  storage: ReadonlyMap<number, Storage>,
  lastUse: ReadonlyMap<number, number>,
  pinned: ReadonlySet<number>,
): Storage | undefined {
  const output = node.outputs[0]!;
  for (const index of ruleOf(node.op).mayOverwrite ?? []) {
    const input = node.inputs[index];
    if (!input) continue;
    const place = storage.get(input.id)!;
    if (place.kind !== 'buffer' || pinned.has(input.id)) continue;
    // A convolution reads its input all over, even while its residual's memory is written.
    const readers = node.inputs.filter(({ id }) => storage.get(id) === place);
    if (readers.length > 1) continue;
    if (place.buffer.last > position || (lastUse.get(input.id) ?? 0) > position) continue;
    if (place.buffer.bytes === byteLength(output.shape, output.dtype)) return place;
  }
  return undefined;
}

function newBuffer(value: Value, first: number): Storage {
  const bytes = byteLength(value.shape, value.dtype);
  return { kind: 'buffer', buffer: { bytes, first, last: first } };
}

/**
 * The last node that reads each value; behind the end for what is read after the run, or in the next
 * one by nodes that come behind those that prepare.
 */
function lastUses(graph: Graph, nodes: readonly Node[], preparation: number): Map<number, number> {
  const last = new Map<number, number>();
  nodes.forEach((node, i) => node.inputs.forEach((input) => last.set(input.id, i)));
  for (const output of graph.outputs.values()) last.set(output.id, nodes.length);
  for (const { id } of nodes.slice(0, preparation).flatMap(({ outputs }) => outputs)) {
    if ((last.get(id) ?? 0) >= preparation) last.set(id, nodes.length);
  }
  return last;
}
