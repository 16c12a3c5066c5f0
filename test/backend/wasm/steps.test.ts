import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Backend } from '../../../src/backend/backend.js';
import { kernelCapabilities, stepKinds } from '../../../src/backend/program.js';
import { openReference } from '../../../src/backend/reference/index.js';
import { openWasm } from '../../../src/backend/wasm/index.js';
import { compilePlan } from '../../../src/plan/compile.js';
import { assertClose, runCase } from '../run-case.js';
import { stepCases } from '../step-cases.js';

const reference = openReference();
const threadCounts = [1, 2, 3];
const engines = {
  'with relaxed SIMD': await openSet('wasm128-relaxed'),
  'without relaxed SIMD': await openSet('wasm128'),
};
after(() => Promise.all(Object.values(engines).flatMap(close)));

function openSet(instructionSet: 'wasm128' | 'wasm128-relaxed'): Promise<Backend[]> {
  return Promise.all(threadCounts.map((threads) => openWasm({ threads, instructionSet })));
}

function close(backends: readonly Backend[]): Promise<void>[] {
  return backends.map((backend) => backend.dispose());
}

test('the cases hold every kind of step', () => {
  const kinds = stepCases().flatMap(({ graph }) =>
    [reference.capabilities, kernelCapabilities].flatMap((capabilities) =>
      compilePlan(graph, capabilities).steps.map(({ kind }) => kind),
    ),
  );
  assert.deepEqual([...new Set(kinds)].sort(), [...stepKinds].sort());
});

for (const [name, backends] of Object.entries(engines)) {
  for (const stepCase of stepCases()) {
    test(`${stepCase.title} ${name}: as the reference, the same bits at 1, 2 and 3 threads`, async () => {
      const expected = await runCase(reference, stepCase);
      const [first, ...others] = await Promise.all(
        [...backends, ...backends].map((backend) => runCase(backend, stepCase)),
      );
      assertClose(first!, expected, stepCase);
      for (const other of others) assert.deepEqual(other, first);
    });
  }
}
