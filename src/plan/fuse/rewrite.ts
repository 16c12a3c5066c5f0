/** What the passes have in common: who uses a value, and a graph with some of its nodes replaced. */
import type { Attributes, Graph, Node, Value } from '../../graph/graph.js';
import type { OpName } from '../../ops/table.js';

export interface Use {
  readonly node: Node;
  readonly input: number;
}

/** A graph as a pass reads it: each value's origin and uses, and values that do not exist yet. */
export class Reading {
  private readonly producers = new Map<number, Node>();
  private readonly users = new Map<number, Use[]>();
  private readonly kept: ReadonlySet<number>;
  private nextId = 0;

  constructor(readonly graph: Graph) {
    for (const value of [...graph.inputs.values(), ...graph.state.values()]) this.count(value);
    for (const node of graph.nodes) {
      for (const output of node.outputs) {
        this.producers.set(output.id, node);
        this.count(output);
      }
      node.inputs.forEach((value, input) => {
        const uses = this.users.get(value.id) ?? [];
        this.users.set(value.id, [...uses, { node, input }]);
      });
    }
    const after = [...graph.outputs.values(), ...graph.updates.values()];
    this.kept = new Set(after.map(({ id }) => id));
  }

  producer(value: Value): Node | undefined {
    return this.producers.get(value.id);
  }

  uses(value: Value): readonly Use[] {
    return this.users.get(value.id) ?? [];
  }

  /** The one node that reads the value; undefined where there are more, or the run's end reads it. */
  onlyUser(value: Value): Node | undefined {
    const uses = this.uses(value);
    return uses.length === 1 && !this.isKept(value) ? uses[0]!.node : undefined;
  }

  /** Whether it is read after the run. */
  isKept(value: Value): boolean {
    return this.kept.has(value.id);
  }

  newValue(...shape: number[]): Value {
    return { id: this.nextId++, shape, dtype: 'f32' };
  }

  private count({ id }: Value): void {
    this.nextId = Math.max(this.nextId, id + 1);
  }
}

/** A node of an op by name, as a pass makes it in the place of `origin`. */
export function nodeLike(
  origin: Node,
  op: OpName,
  inputs: readonly Value[],
  outputs: readonly Value[],
  attributes: Attributes,
): Node {
  return { op, inputs, outputs, attributes, path: origin.path };
}

/** The graph with each node that has a replacement replaced by it, in its place. */
export function replaceNodes(
  graph: Graph,
  replacements: ReadonlyMap<Node, readonly Node[]>,
): Graph {
  if (replacements.size === 0) return graph;
  return { ...graph, nodes: graph.nodes.flatMap((node) => replacements.get(node) ?? [node]) };
}
