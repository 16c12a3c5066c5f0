/**
 * Reverse-mode differentiation: one walk over the graph, backwards, that asks each node's rule for
 * the gradients of its inputs and sums where a value was used more than once. Knows no op by name.
 *
 * Source: Griewank and Walther, Evaluating Derivatives, 2008, section 3.2.
 */
import type { GraphBuilder } from '../graph/builder.js';
import type { Node, Value } from '../graph/graph.js';

/** What the walk must be told about ops. */
export interface DerivativeRules {
  /** The gradient of each input of `node`; null where there is none. */
  vjp(
    node: Node,
    doutputs: readonly (Value | null)[],
    wants: (input: number) => boolean,
  ): readonly (Value | null)[];
  ones(like: Value, path: string): Value;
  add(a: Value, b: Value, path: string): Value;
}

/**
 * Appends the backward pass of `loss` to the graph and returns the gradient of each value of
 * `parameters`, in their order; null where the loss does not depend on it.
 */
export function differentiate(
  builder: GraphBuilder,
  loss: Value,
  parameters: readonly Value[],
  rules: DerivativeRules,
): readonly (Value | null)[] {
  const forward = [...builder.nodes];
  const needed = dependents(forward, parameters);
  const gradients = new Map<number, Value>([[loss.id, rules.ones(loss, 'loss')]]);

  for (const node of forward.reverse()) {
    const doutputs = node.outputs.map((output) => gradients.get(output.id) ?? null);
    const wants = (i: number) => needed.has(node.inputs[i]!.id);
    if (doutputs.every((gradient) => gradient === null)) continue;
    if (!node.inputs.some((_, i) => wants(i))) continue;

    rules.vjp(node, doutputs, wants).forEach((gradient, i) => {
      if (!gradient || !wants(i)) return;
      const { id } = node.inputs[i]!;
      const sum = gradients.get(id);
      gradients.set(id, sum ? rules.add(sum, gradient, node.path) : gradient);
    });
  }
  return parameters.map(({ id }) => gradients.get(id) ?? null);
}

/** The ids of all values through which a parameter reaches the loss, the parameters included. */
function dependents(nodes: readonly Node[], parameters: readonly Value[]): Set<number> {
  const ids = new Set(parameters.map((parameter) => parameter.id));
  for (const node of nodes) {
    if (node.inputs.some((input) => ids.has(input.id))) {
      node.outputs.forEach((output) => ids.add(output.id));
    }
  }
  return ids;
}
