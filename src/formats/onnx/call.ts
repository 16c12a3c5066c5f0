/** What a row of the ONNX table is given, and what it is. */
import type { Value } from '../../graph/graph.js';
import type { GraphWriter } from './graph-writer.js';

export interface Call<A> {
  readonly path: string;
  readonly attributes: A;
  /** The first input. */
  readonly x: Value;
  readonly inputs: readonly Value[];
  /** The first output. */
  readonly y: Value;
}

/** Writes what a node means; a node that ONNX has no word for says what it is instead. */
export type Row<A> = ((call: Call<A>, writer: GraphWriter) => void) | { readonly none: string };
