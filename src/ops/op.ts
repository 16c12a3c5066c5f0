/**
 * What every op states about itself. One op is one file in this room; `table.ts` collects them.
 */
import type { Attributes, Value } from '../graph/graph.js';
import type { TensorType } from '../graph/builder.js';
import { PlusxError } from '../errors.js';
import type { OpAttributes, OpName } from './table.js';

/** Adds a node to the graph that is being built and returns its outputs. */
export type Emit = <Op extends OpName>(
  op: Op,
  inputs: readonly Value[],
  attributes: OpAttributes[Op],
) => readonly Value[];

/** What a gradient rule sees of the node that it differentiates. */
export interface VjpContext<A extends Attributes> {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: A;
  /** The gradient of each output; null where the loss does not depend on it. */
  readonly doutputs: readonly (Value | null)[];
  /** Whether the gradient of input `i` is wanted: what is not wanted need not be computed. */
  wants(i: number): boolean;
  readonly emit: Emit;
}

/**
 * A vector-Jacobian product: the gradient of each input from the gradients of the outputs; null
 * where an input has none.
 */
export type Vjp<A extends Attributes> = (context: VjpContext<A>) => readonly (Value | null)[];

export interface OpRule<A extends Attributes> {
  /** The types of the outputs; throws where the inputs do not fit. */
  infer(inputs: readonly TensorType[], attributes: A): readonly TensorType[];

  /** Stated for every op: an op without a gradient says why. */
  readonly vjp: Vjp<A> | { readonly none: string };

  /** Floating-point operations, a multiply-add counted as two; unstated: not counted. */
  flops?(inputs: readonly TensorType[], outputs: readonly TensorType[], attributes: A): number;

  /** Output index → index of the input (a state entry) that it replaces in place. */
  readonly replaces?: Readonly<Record<number, number>>;

  /** Inputs, where they are there, whose memory the first output may take when nothing reads them later. */
  readonly mayOverwrite?: readonly number[];

  /** The output is the first input under another shape: no arithmetic, no memory. */
  readonly view?: true;
}

/** The one value of a list that an op guarantees to have one element at this place. */
export function at<T>(values: readonly T[], index: number): T {
  const value = values[index];
  if (value === undefined) throw new Error(`internal: nothing at index ${index}`);
  return value;
}

/** A gradient rule's only incoming gradient. */
export function onlyGradient(context: { doutputs: readonly (Value | null)[] }): Value {
  const gradient = context.doutputs[0];
  if (!gradient) throw new Error('internal: a gradient rule was called without a gradient');
  return gradient;
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(',')}]`;
}

/** An error of shapes that a user's model can cause. */
export function shapeError(op: string, message: string): PlusxError {
  return new PlusxError('shape', `${op}: ${message}`);
}

export function expectRank(op: string, role: string, type: TensorType, rank: number): void {
  if (type.shape.length !== rank) {
    throw shapeError(
      op,
      `${role} has ${type.shape.length} dimensions, ${rank} are needed (${role} ${shapeText(type.shape)})`,
    );
  }
}

export function expectChannels(op: string, role: string, vector: TensorType, channels: number) {
  if (vector.shape.length !== 1 || vector.shape[0] !== channels) {
    throw shapeError(op, `input has ${channels} channels, ${role} is ${shapeText(vector.shape)}`);
  }
}

/** The four sizes of an (N, H, W, C) tensor. */
export function imageSizes(op: string, role: string, type: TensorType) {
  expectRank(op, role, type, 4);
  const [N, H, W, C] = type.shape as [number, number, number, number];
  return { N, H, W, C };
}

/** The size of a tensor's last axis. */
export function lastAxis(type: TensorType): number {
  return at(type.shape, type.shape.length - 1);
}

/** Where a sliding window can stand along one axis. */
export function windowPositions(size: number, kernel: number, stride: number, padding: number) {
  return Math.floor((size + 2 * padding - kernel) / stride) + 1;
}

export const f32 = (...shape: number[]): TensorType => ({ shape, dtype: 'f32' });
export const like = (type: TensorType): TensorType => ({ shape: type.shape, dtype: 'f32' });

/** Why the ops of a backward pass have no gradient rule. */
export const noSecondDerivative = { none: 'second derivatives are not offered' } as const;
