/** Runs a case on a backend and compares what comes out with what another backend computes. */
import assert from 'node:assert/strict';
import type { Backend } from '../../src/backend/backend.js';
import { fromBfloat16 } from '../../src/graph/bfloat16.js';
import { compilePlan } from '../../src/plan/compile.js';
import type { StepCase } from './step-case.js';

/** All outputs, and all state entries as the run leaves them, by name. */
export async function runCase(
  backend: Backend,
  { graph, data, capabilities, precision }: StepCase,
): Promise<Map<string, Float32Array>> {
  const fast = backend.name !== 'reference';
  const asked = { ...backend.capabilities, ...(fast ? capabilities : {}) };
  const plan = compilePlan(graph, asked, undefined, precision);
  const executable = await backend.compile(plan);
  for (const [name, slot] of Object.entries(plan.state.slots)) {
    await executable.write(slot, data.get(name)!);
  }
  await executable.run(Object.fromEntries(data));
  const results = new Map<string, Float32Array>();
  for (const [name, slot] of Object.entries({ ...plan.outputs, ...plan.state.slots })) {
    const values = await executable.read(slot);
    results.set(
      name,
      values instanceof Uint16Array ? fromBfloat16(values) : (values as Float32Array),
    );
  }
  await executable.dispose();
  return results;
}

type Roundings = Pick<StepCase, 'reduction' | 'precision'>;

/**
 * How far a value may be from that of the reference: epsilon × (reduction + 4) × magnitude, one
 * rounding for each number summed and a few around the sum, at the size of the largest value or of
 * the terms (at most about 1).
 *
 * A bfloat16 is rounded by 2⁻⁹ of itself, and two that are rounded from nearly the same differ by up to
 * 2⁻⁷. Where factors are bfloat16, those of Winograd's products too, a convolution errs by 1.2 % of its
 * results' root mean square, and in one of 10⁵ values by 4.4 times as much; the largest of so many is
 * 4.4 times the root mean square as well: 1.2 % of the largest. The limit is 2⁻⁵, 3 %.
 */
export function toleranceOf(expected: Float32Array, { reduction, precision }: Roundings): number {
  const magnitude = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
  return (precision === 'bf16' ? 2 ** -5 : 2 ** -24 * (reduction + 4)) * magnitude;
}

/** Asserts that each value is within its tolerance. */
export function assertClose(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
  roundings: Roundings,
): void {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [name, wanted] of expected) {
    const found = actual.get(name)!;
    assert.equal(found.length, wanted.length);
    const tolerance = toleranceOf(wanted, roundings);
    wanted.forEach((value, i) => {
      const difference = Math.abs(found[i]! - value);
      assert.ok(difference <= tolerance, `${name}[${i}]: ${found[i]}, expected ${value}`);
    });
  }
}
