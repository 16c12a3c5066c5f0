/**
 * What a step costs whatever computes it: the bytes that it has to touch. Read off its slots, so
 * that a new kind of step needs no line here; its arithmetic is in `Plan.stepFlops`.
 */
import { byteLength } from '../graph/graph.js';
import type { Slot, Step } from './plan.js';

/** The tensors of a step under the names of its fields, its scratch left out. */
export function tensorsOf(step: Step): Record<string, Slot> {
  const tensors: Record<string, Slot> = {};
  for (const [name, value] of Object.entries(step) as [string, unknown][]) {
    if (name !== 'workspace' && isSlot(value)) tensors[name] = value;
  }
  return tensors;
}

/**
 * Bytes that a step touches: each of its tensors once, read or written.
 *
 * Nearly always a lower bound: scratch, second readings and what is updated in place (read and
 * written, counted once) come on top. Only a step that passes over a part of a tensor, such as a
 * 1×1 convolution with stride 2, may touch less.
 */
export function stepBytes(step: Step): number {
  const tensors = Object.values(tensorsOf(step));
  return tensors.reduce((sum, { shape, dtype }) => sum + byteLength(shape, dtype), 0);
}

/** Names of the tensor that a step is there for, where it has several; else it is the last. */
const mainNames = ['dx', 'y', 'dweight', 'parameter'];

/** The tensor to name a step by: what it computes, without the statistics beside it. */
export function mainTensor(step: Step): Slot {
  const tensors = tensorsOf(step);
  const name = mainNames.find((each) => Object.hasOwn(tensors, each));
  const main = name === undefined ? Object.values(tensors).at(-1) : tensors[name];
  if (!main) throw new Error(`internal: a step ${step.kind} has no tensor`);
  return main;
}

function isSlot(value: unknown): value is Slot {
  return typeof value === 'object' && value !== null && 'offset' in value;
}
