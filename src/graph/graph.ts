/**
 * Waist 1: the Graph. A list of nodes in single-assignment form with static shapes and dtypes.
 *
 * It knows no op by name: `src/ops/` says what each op computes, `verify.ts` is handed that table.
 * The alphabet of every room below: N batch, H W input height and width, C input channels,
 * K output channels, R S filter height and width, OH OW output height and width.
 * Activations are NHWC, weights (K, R, S, C).
 */

/** `bf16`: bfloat16, the upper half of a float32. */
export type DType = 'f32' | 'bf16' | 'u8' | 'i32';

export type Shape = readonly number[];

/** What an op is told beside its inputs; plain data, so that a graph prints and serialises. */
export type Attributes = Readonly<Record<string, number | boolean | string | readonly number[]>>;

/** One tensor in the graph: defined once, by a node, as an input or as state. */
export interface Value {
  readonly id: number;
  readonly shape: Shape;
  readonly dtype: DType;
}

export interface Node {
  readonly op: string;
  readonly attributes: Attributes;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** The path of the module that asked for it, as in a state dict: `layer2.0.conv1`. */
  readonly path: string;
}

export interface Graph {
  /** Fed anew at every run: `images`, `labels`, `hyper`. */
  readonly inputs: ReadonlyMap<string, Value>;
  /** Lives between runs: weights, running statistics, optimizer moments, by state-dict key. */
  readonly state: ReadonlyMap<string, Value>;
  /** In an order in which every value is defined before it is used. */
  readonly nodes: readonly Node[];
  /** Readable after a run. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** The value that a state entry takes when the run is over. */
  readonly updates: ReadonlyMap<string, Value>;
}

export function elementCount(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, u8: 1, i32: 4 };

/** Size of a dense tensor in bytes. */
export function byteLength(shape: Shape, dtype: DType): number {
  return elementCount(shape) * bytesPerElement[dtype];
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
