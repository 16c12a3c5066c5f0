/** Adds ops to a graph, their output types inferred by their rules. */
import type { GraphBuilder } from '../graph/builder.js';
import type { Value } from '../graph/graph.js';
import { opTable, type OpAttributes, type OpName } from './table.js';
import type { Emit } from './op.js';

/** An `Emit` that writes into `builder`; `path` names the module on whose behalf. */
export function emitInto(builder: GraphBuilder, path: () => string): Emit {
  return <Op extends OpName>(
    op: Op,
    inputs: readonly Value[],
    attributes: OpAttributes[Op],
  ): readonly Value[] => {
    const outputs = opTable[op].infer(inputs, attributes);
    return builder.node(op, inputs, attributes, outputs, path());
  };
}
