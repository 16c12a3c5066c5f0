/**
 * Grows an ONNX graph beside the Graph that is translated: names, constants, the order of axes.
 *
 * Images are (N, H, W, C) in plusx and (N, C, H, W) in ONNX. So each tensor of four axes is written
 * in the order `nchw` as long as it can be, and in plusx's own order where an op counts its values;
 * transpositions stand only between the two. Axis 0 is the batch, which may have any size.
 */
import type { DType, Graph, Node, Shape, Value } from '../../graph/graph.js';
import { at } from '../../ops/op.js';
import type {
  OnnxAttribute,
  OnnxElementType,
  OnnxGraph,
  OnnxInitializer,
  OnnxNode,
  OnnxValue,
} from './model.js';

/** The weights of a model by state-dict key, in PyTorch's layout. */
export type ModelWeights = ReadonlyMap<
  string,
  { readonly shape: Shape; readonly data: Float32Array }
>;

/** How the axes of a written tensor lie: as ONNX has images, or as the graph's value has them. */
export type Order = 'nchw' | 'own';

export interface EmitOptions {
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  /** The value of the graph that this is; unstated: something in between. */
  readonly value?: Value;
  /** Of `value`; default `nchw` where it has four axes. */
  readonly order?: Order;
  readonly docString?: string;
}

const elementTypes: Readonly<Record<DType, OnnxElementType>> = {
  f32: 'float',
  bf16: 'bfloat16',
  u8: 'uint8',
  i32: 'int64',
};

export class GraphWriter {
  private readonly nodes: OnnxNode[] = [];
  private readonly initializers = new Map<string, OnnxInitializer>();
  private readonly values: OnnxValue[] = [];
  private readonly written = new Map<number, { readonly name: string; readonly order: Order }>();
  private readonly names = new Set<string>();
  private readonly keys: ReadonlyMap<number, string>;
  private readonly outputNames: ReadonlyMap<number, string>;
  private readonly absorbed = new Set<Node>();
  private readonly batch: number;

  constructor(
    private readonly graph: Graph,
    private readonly weights: ModelWeights,
    readonly foldBatchNorm: boolean,
  ) {
    this.keys = new Map(Array.from(graph.state, ([key, { id }]) => [id, key]));
    this.outputNames = new Map(Array.from(graph.outputs, ([name, { id }]) => [id, name]));
    for (const table of [graph.inputs, graph.outputs, graph.state]) {
      for (const name of table.keys()) this.names.add(name);
    }
    for (const [name, value] of graph.inputs) {
      // Bytes are images as decoders give them, floats are what other frameworks' models take.
      const order = value.dtype === 'f32' ? standardOrder(value) : 'own';
      this.written.set(value.id, { name, order });
    }
    const [first] = graph.inputs.values();
    this.batch = first ? at(first.shape, 0) : 1;
  }

  /** The written tensor's name, its axes in the order that it has. */
  name(value: Value): string {
    const key = this.keys.get(value.id);
    if (key !== undefined) return this.weight(key);
    return this.entry(value).name;
  }

  order(value: Value): Order {
    return this.keys.has(value.id) ? standardOrder(value) : this.entry(value).order;
  }

  /** The name of a tensor with the axes in this order, transposed where it must be. */
  inOrder(value: Value, order: Order, path: string): string {
    const name = this.name(value);
    if (this.order(value) === order || value.shape.length !== 4) return name;
    const perm = order === 'nchw' ? [0, 3, 1, 2] : [0, 2, 3, 1];
    return this.emit('Transpose', [name], path, { attributes: { perm } });
  }

  /** Writes a node and returns the name of its output. */
  emit(opType: string, inputs: readonly string[], path: string, options: EmitOptions = {}): string {
    const { attributes = {}, value, docString = path } = options;
    const name = this.unique(path ? `${path}/${opType}` : opType);
    const outputName = value && this.outputNames.get(value.id);
    const output = outputName ?? name;
    this.nodes.push({ name, opType, inputs, output, attributes, docString });
    if (value) {
      const order = options.order ?? standardOrder(value);
      this.written.set(value.id, { name: output, order });
      if (outputName === undefined) this.values.push(this.typed(output, value, order));
    }
    return output;
  }

  /** Lets a value be what is written already under a name. */
  alias(value: Value, name: string, order: Order): void {
    this.written.set(value.id, { name, order });
  }

  /** A tensor of the file; the same name is taken once. */
  constant(name: string, dims: readonly number[], data: Float32Array | BigInt64Array): string {
    const unique = this.unique(name);
    this.initializers.set(unique, { name: unique, dims, data });
    return unique;
  }

  /** A list of whole numbers, as newer operators take what attributes were before. */
  list(name: string, numbers: readonly number[]): string {
    return this.constant(name, [numbers.length], BigInt64Array.from(numbers, BigInt));
  }

  /** The weight that a value is, if it is one. */
  weightOf(value: Value) {
    const key = this.keys.get(value.id);
    return key === undefined ? undefined : { key, ...this.tensor(key) };
  }

  /** The one node that uses a value, if there is one and the value is no output. */
  onlyUser(value: Value): Node | undefined {
    const users = this.graph.nodes.filter((node) => node.inputs.includes(value));
    const isOutput = this.outputNames.has(value.id);
    return users.length === 1 && !isOutput ? users[0] : undefined;
  }

  /** Says that a node is part of another one's translation. */
  absorb(node: Node): void {
    this.absorbed.add(node);
  }

  isAbsorbed(node: Node): boolean {
    return this.absorbed.has(node);
  }

  /** Whether axis 0 of both is the batch, so that images stay apart. */
  keepsBatch(x: Value, y: Value): boolean {
    return x.shape[0] === this.batch && y.shape[0] === this.batch;
  }

  finish(name: string, docStrings: Readonly<Record<string, string>>): OnnxGraph {
    const doc = (of: string) => docStrings[of] ?? '';
    const inputs = Array.from(this.graph.inputs, ([input, value]) => ({
      ...this.typed(input, value, this.order(value)),
      docString: doc(input),
    }));
    const outputs = Array.from(this.graph.outputs, ([output, value]) => {
      const written = this.name(value);
      // An output that only shows another tensor under its own name.
      if (written !== output) this.show(written, output);
      return { ...this.typed(output, value, this.order(value)), docString: doc(output) };
    });
    const initializers = [...this.initializers.values()];
    return { name, nodes: this.nodes, initializers, inputs, outputs, values: this.values };
  }

  private show(written: string, output: string): void {
    const opType = 'Identity';
    const name = this.unique(opType);
    this.nodes.push({ name, opType, inputs: [written], output, attributes: {}, docString: '' });
  }

  private entry(value: Value) {
    const entry = this.written.get(value.id);
    if (!entry) throw new Error(`internal: %${value.id} is used before it is written`);
    return entry;
  }

  private tensor(key: string) {
    const tensor = this.weights.get(key);
    if (!tensor) throw new Error(`internal: the weight ${key} is missing`);
    return tensor;
  }

  /** The name of a weight that is used as it is. */
  private weight(key: string): string {
    const { shape, data } = this.tensor(key);
    if (!this.initializers.has(key)) this.initializers.set(key, { name: key, dims: shape, data });
    return key;
  }

  private typed(name: string, { shape, dtype }: Value, order: Order): OnnxValue {
    const [N, H, W, C] = shape;
    const ordered = order === 'nchw' ? [N!, C!, H!, W!] : shape;
    const dims = ordered.map((size, axis) => (axis === 0 && size === this.batch ? 'N' : size));
    return { name, elementType: elementTypes[dtype], dims, docString: '' };
  }

  private unique(name: string): string {
    let candidate = name;
    for (let i = 1; this.names.has(candidate); i++) candidate = `${name}_${i}`;
    this.names.add(candidate);
    return candidate;
  }
}

export function standardOrder(value: Value): Order {
  return value.shape.length === 4 ? 'nchw' : 'own';
}
