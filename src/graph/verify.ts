/**
 * States what a legal graph is, and finds what is not. Run between passes in tests.
 *
 * It is handed the rule that infers a node's output types, and so knows no op.
 */
import type { TensorType } from './builder.js';
import { sameShape, type Graph, type Node, type Value } from './graph.js';

export type InferTypes = (node: Node) => readonly TensorType[];

/** One sentence for each rule that the graph breaks; empty for a legal graph. */
export function verify(graph: Graph, infer: InferTypes): string[] {
  const problems: string[] = [];
  const defined = new Set<number>();
  const define = (value: Value, what: string) => {
    if (defined.has(value.id)) problems.push(`${what} defines %${value.id} a second time`);
    defined.add(value.id);
    if (value.shape.some((size) => !Number.isInteger(size) || size < 1)) {
      problems.push(`${what} has the shape [${value.shape.join(',')}]`);
    }
  };
  const use = (value: Value, what: string) => {
    if (!defined.has(value.id)) problems.push(`${what} uses %${value.id} before its definition`);
  };

  for (const [name, value] of graph.inputs) define(value, `input ${name}`);
  for (const [name, value] of graph.state) define(value, `state ${name}`);
  for (const node of graph.nodes) {
    const what = `${node.op} at ${node.path || 'the top'}`;
    node.inputs.forEach((value) => use(value, what));
    node.outputs.forEach((value) => define(value, what));
    problems.push(...typeProblems(node, infer(node), what));
  }
  for (const [name, value] of graph.outputs) use(value, `output ${name}`);
  for (const [name, value] of graph.updates) {
    use(value, `update ${name}`);
    const old = graph.state.get(name);
    if (!old) problems.push(`update ${name} has no state of that name`);
    else if (!sameShape(old.shape, value.shape)) problems.push(`update ${name} changes the shape`);
  }
  return problems;
}

function typeProblems(node: Node, expected: readonly TensorType[], what: string): string[] {
  if (expected.length !== node.outputs.length) {
    return [`${what} has ${node.outputs.length} outputs, its rule says ${expected.length}`];
  }
  return node.outputs.flatMap((value, i) => {
    const type = expected[i]!;
    return sameShape(type.shape, value.shape) && type.dtype === value.dtype
      ? []
      : [
          `${what}: output ${i} is ${value.dtype}[${value.shape.join(',')}], ` +
            `its rule says ${type.dtype}[${type.shape.join(',')}]`,
        ];
  });
}
