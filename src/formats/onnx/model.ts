/**
 * An ONNX model as plain data: the part of the format that plusx writes.
 *
 * Source: https://github.com/onnx/onnx (docs/IR.md; operators: docs/Operators.md).
 */

/** A whole number, a list of them, or a float, which JavaScript could not tell from a whole one. */
export type OnnxAttribute = number | readonly number[] | { readonly float: number };

export interface OnnxNode {
  /** Unique; begins with the path of the module that asked for it. */
  readonly name: string;
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
  readonly docString: string;
}

export type OnnxElementType = 'float' | 'bfloat16' | 'uint8' | 'int64';

/** The type of a tensor that is computed or fed; a dimension with a name may have any size. */
export interface OnnxValue {
  readonly name: string;
  readonly elementType: OnnxElementType;
  readonly dims: readonly (number | string)[];
  readonly docString: string;
}

/** A tensor that lies in the file. */
export interface OnnxInitializer {
  readonly name: string;
  readonly dims: readonly number[];
  /** Dense, row-major. */
  readonly data: Float32Array | BigInt64Array;
}

export interface OnnxGraph {
  readonly name: string;
  /** In an order in which every tensor is there before it is used. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** What lies between; runtimes do without, people and checkers read it. */
  readonly values: readonly OnnxValue[];
}

export interface OnnxModel {
  /** The version of the operators. */
  readonly opset: number;
  readonly producerVersion: string;
  readonly docString: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly graph: OnnxGraph;
}

export const lowestOpset = 13;

/** The newest that onnxruntime 1.30 runs; ONNX 1.23 defines two more, with nothing for us. */
export const newestOpset = 26;

/** Opset → the version of the file format that came with it, as onnx.helper's table says. */
export function irVersion(opset: number): number {
  const firstOpset = [
    [25, 13],
    [24, 12],
    [23, 11],
    [21, 10],
    [19, 9],
    [15, 8],
  ] as const;
  return firstOpset.find(([first]) => opset >= first)?.[1] ?? 7;
}
