/** What backends check and allocate alike when tensors move between host and arena. */
import { elementCount, type DType } from '../graph/graph.js';
import type { Plan, Slot } from '../plan/plan.js';
import type { TensorData } from './backend.js';

export const arrayTypes = {
  f32: Float32Array,
  // The bits: JavaScript has no array of them.
  bf16: Uint16Array,
  u8: Uint8Array,
  i32: Int32Array,
} as const satisfies Record<DType, unknown>;

export function allocateLike(dtype: DType, count: number): TensorData {
  return new arrayTypes[dtype](count);
}

/** Throws where data does not fill a slot exactly, or is of another type. */
export function expectData(name: string, slot: Slot, data: TensorData | undefined): void {
  const type = arrayTypes[slot.dtype];
  const count = elementCount(slot.shape);
  if (data instanceof type && data.length === count) return;
  const found = data ? `${data.constructor.name}(${data.length})` : 'nothing';
  throw new Error(`internal: ${name} holds ${type.name}(${count}), got ${found}`);
}

/** Throws where two plans do not agree on where the state lies, and so cannot share an arena. */
export function expectSameState(a: Plan, b: Plan): void {
  if (a.state === b.state || JSON.stringify(a.state) === JSON.stringify(b.state)) return;
  throw new Error('internal: plans with different states cannot share an arena');
}
