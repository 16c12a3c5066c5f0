/**
 * Moves a plan's slots apart, so that whoever writes beyond one does not land in the next: between
 * any two lies a gap, before the first and behind the last too.
 */
import { byteLength } from '../../../src/graph/graph.js';
import { roundUp } from '../../../src/plan/algorithms.js';
import { slotAlignment, type Plan, type Slot, type Step } from '../../../src/plan/plan.js';
import type { Region } from './case-file.js';

/** More than a kernel writes at a time: a tile's row is two vectors, of 64 bytes at most. */
const gap = 256;

/** The same plan, laid out with gaps. Slots that share memory still do, in the same way. */
export function spreadSlots(plan: Plan): Plan {
  const regions = unionOf([
    ...plan.steps.flatMap(regionsOf),
    ...[plan.inputs, plan.outputs, plan.state.slots].flatMap((slots) =>
      Object.values(slots).map(regionOf),
    ),
  ]);
  let end = gap;
  const places = regions.map((region) => {
    const offset = end;
    end += roundUp(region.bytes, slotAlignment) + gap;
    return { region, offset };
  });
  const move = (slot: Slot): Slot => {
    const place = places.find(({ region }) => contains(region, slot.offset))!;
    return { ...slot, offset: slot.offset - place.region.offset + place.offset };
  };
  const moveAll = (slots: Readonly<Record<string, Slot>>) =>
    Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, move(slot)]));
  return {
    ...plan,
    inputs: moveAll(plan.inputs),
    outputs: moveAll(plan.outputs),
    state: { bytes: end, slots: moveAll(plan.state.slots) },
    steps: plan.steps.map((step) => {
      const fields = Object.entries(step).map(([name, value]: [string, unknown]) => [
        name,
        isSlot(value) ? move(value) : value,
      ]);
      return Object.fromEntries(fields) as Step;
    }),
    arenaBytes: end,
  };
}

/** The memory of every slot that a step names. */
export function regionsOf(step: Step): Region[] {
  return Object.values(step).filter(isSlot).map(regionOf);
}

function regionOf({ offset, shape, dtype }: Slot): Region {
  return { offset, bytes: byteLength(shape, dtype) };
}

function isSlot(value: unknown): value is Slot {
  return typeof value === 'object' && value !== null && 'offset' in value && 'dtype' in value;
}

function contains(region: Region, offset: number): boolean {
  return offset >= region.offset && offset < region.offset + region.bytes;
}

/** Regions that overlap become one; those that only touch stay two. */
function unionOf(regions: readonly Region[]): Region[] {
  const union: Region[] = [];
  for (const region of [...regions].sort((a, b) => a.offset - b.offset)) {
    const last = union.at(-1);
    if (last && contains(last, region.offset)) {
      const end = Math.max(last.offset + last.bytes, region.offset + region.bytes);
      union[union.length - 1] = { offset: last.offset, bytes: end - last.offset };
    } else {
      union.push(region);
    }
  }
  return union;
}
