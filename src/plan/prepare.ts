/**
 * What a run needs to compute only once: all that depends on nothing but state which the graph does
 * not change. In evaluation that is weights, folded and packed; in training it is nothing.
 */
import type { Graph, Node } from '../graph/graph.js';

/** Ids of the values that stay as they are from run to run while nobody writes the state. */
export function constantValues(graph: Graph): ReadonlySet<number> {
  const constant = new Set<number>();
  for (const [name, value] of graph.state) if (!graph.updates.has(name)) constant.add(value.id);
  for (const node of graph.nodes) {
    if (!isPreparation(node, constant)) continue;
    for (const output of node.outputs) constant.add(output.id);
  }
  return constant;
}

/** Moves the nodes that prepare to the front; says how many they are. */
export function preparationFirst(graph: Graph, nodes: readonly Node[]) {
  const constant = constantValues(graph);
  const preparation = nodes.filter((node) => isPreparation(node, constant));
  const rest = nodes.filter((node) => !isPreparation(node, constant));
  return { nodes: [...preparation, ...rest], count: preparation.length };
}

function isPreparation({ inputs }: Node, constant: ReadonlySet<number>): boolean {
  return inputs.length > 0 && inputs.every(({ id }) => constant.has(id));
}
