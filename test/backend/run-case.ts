/** Runs a case on a backend and compares what comes out with what another backend computes. */
import assert from 'node:assert/strict';
import type { Backend } from '../../src/backend/backend.js';
import { compilePlan } from '../../src/plan/compile.js';
import type { StepCase } from './step-case.js';

/** All outputs, and all state entries as the run leaves them, by name. */
export async function runCase(
  backend: Backend,
  { graph, data, capabilities }: StepCase,
): Promise<Map<string, Float32Array>> {
  const fast = backend.name !== 'reference';
  const plan = compilePlan(graph, { ...backend.capabilities, ...(fast ? capabilities : {}) });
  const executable = await backend.compile(plan);
  for (const [name, slot] of Object.entries(plan.state.slots)) {
    await executable.write(slot, data.get(name)!);
  }
  await executable.run(Object.fromEntries(data));
  const results = new Map<string, Float32Array>();
  for (const [name, slot] of Object.entries({ ...plan.outputs, ...plan.state.slots })) {
    results.set(name, (await executable.read(slot)) as Float32Array);
  }
  await executable.dispose();
  return results;
}

/**
 * How far a value may be from that of the reference: epsilon × (reduction + 4) × magnitude, one
 * rounding for each number summed and a few around the sum, at the size of the largest value or of
 * the terms (at most about 1).
 */
export function toleranceOf(expected: Float32Array, reduction: number): number {
  const magnitude = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
  return 2 ** -24 * (reduction + 4) * magnitude;
}

/** Asserts that each value is within its tolerance. */
export function assertClose(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
  reduction: number,
): void {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [name, wanted] of expected) {
    const found = actual.get(name)!;
    assert.equal(found.length, wanted.length);
    const tolerance = toleranceOf(wanted, reduction);
    wanted.forEach((value, i) => {
      const difference = Math.abs(found[i]! - value);
      assert.ok(difference <= tolerance, `${name}[${i}]: ${found[i]}, expected ${value}`);
    });
  }
}
