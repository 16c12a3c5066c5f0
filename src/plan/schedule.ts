/** In which order nodes run, and which need not run at all. */
import type { Graph, Node, Value } from '../graph/graph.js';
import { ruleOf } from '../ops/table.js';

/** The nodes on which an output or an update depends, in their order. */
export function liveNodes(graph: Graph): Node[] {
  const needed = new Set<number>();
  for (const value of [...graph.outputs.values(), ...graph.updates.values()]) needed.add(value.id);
  const live: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((output) => needed.has(output.id))) continue;
    live.push(node);
    node.inputs.forEach((input) => needed.add(input.id));
  }
  return live.reverse();
}

/**
 * Moves each pure update (an optimizer's) to the first place where its inputs exist and nothing
 * reads the old state any more, so that a gradient's memory is free again at once.
 */
export function updatesEarly(nodes: readonly Node[], updates: readonly Value[]): Node[] {
  const updated = new Set(updates.map((value) => value.id));
  const isUpdate = (node: Node) => node.outputs.every((output) => updated.has(output.id));
  const rest = nodes.filter((node) => !isUpdate(node));

  const lastTouch = new Map<number, number>();
  rest.forEach((node, i) => {
    for (const value of [...node.inputs, ...node.outputs]) lastTouch.set(value.id, i);
  });
  const definedAt = new Map<number, number>();
  rest.forEach((node, i) => node.outputs.forEach((output) => definedAt.set(output.id, i)));

  const after = new Map<number, Node[]>();
  for (const node of nodes.filter(isUpdate)) {
    const replaced = new Set(Object.values(ruleOf(node.op).replaces ?? {}));
    const ready = node.inputs.map((input, i) => {
      const table = replaced.has(i) ? lastTouch : definedAt;
      return table.get(input.id) ?? -1;
    });
    const place = Math.max(-1, ...ready);
    after.set(place, [...(after.get(place) ?? []), node]);
  }
  return [...(after.get(-1) ?? []), ...rest.flatMap((node, i) => [node, ...(after.get(i) ?? [])])];
}
