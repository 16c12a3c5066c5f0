/** Grows a Graph, one definition at a time. It checks names, not meanings: `verify.ts` does. */
import type { Attributes, DType, Graph, Node, Shape, Value } from './graph.js';

/** Shape and dtype of a tensor that need not exist yet. */
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

export class GraphBuilder {
  readonly nodes: Node[] = [];
  private readonly inputs = new Map<string, Value>();
  private readonly stateValues = new Map<string, Value>();
  private readonly outputs = new Map<string, Value>();
  private readonly updates = new Map<string, Value>();
  private nextId = 0;

  input(name: string, type: TensorType): Value {
    return define(this.inputs, 'input', name, this.value(type));
  }

  state(name: string, type: TensorType): Value {
    return define(this.stateValues, 'state', name, this.value(type));
  }

  node(
    op: string,
    inputs: readonly Value[],
    attributes: Attributes,
    outputTypes: readonly TensorType[],
    path: string,
  ): readonly Value[] {
    const outputs = outputTypes.map((type) => this.value(type));
    this.nodes.push({ op, attributes, inputs, outputs, path });
    return outputs;
  }

  output(name: string, value: Value): void {
    define(this.outputs, 'output', name, value);
  }

  update(state: string, value: Value): void {
    define(this.updates, 'update', state, value);
  }

  build(): Graph {
    return {
      inputs: this.inputs,
      state: this.stateValues,
      nodes: this.nodes,
      outputs: this.outputs,
      updates: this.updates,
    };
  }

  private value({ shape, dtype }: TensorType): Value {
    return { id: this.nextId++, shape, dtype };
  }
}

function define(table: Map<string, Value>, role: string, name: string, value: Value): Value {
  if (table.has(name)) throw new Error(`internal: ${role} ${name} is defined twice`);
  table.set(name, value);
  return value;
}
