import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { openReference } from '../../../src/backend/reference/index.js';
import { fastEngines } from '../../parity/backends.js';
import { assertClose, runCase } from '../run-case.js';
import { stepCases } from '../step-cases.js';

const reference = openReference();
const byThreads = await Promise.all([1, 2, 3].map(fastEngines));
after(async () => {
  for (const { backend } of byThreads.flat()) await backend?.dispose();
});
const cases = stepCases();
const expected = await Promise.all(cases.map((stepCase) => runCase(reference, stepCase)));

for (const [index, { title, skip }] of byThreads[0]!.entries()) {
  if (title === 'wasm') continue;
  if (skip) {
    test(`${title}: every step as the reference`, { skip });
    continue;
  }
  for (const [i, stepCase] of cases.entries()) {
    const what = `${title}, ${stepCase.title}: as the reference, the same bits at 1, 2, 3 threads`;
    test(what, async () => {
      const [first, ...others] = await Promise.all(
        [...byThreads, ...byThreads].map((engines) => runCase(engines[index]!.backend!, stepCase)),
      );
      assertClose(first!, expected[i]!, stepCase);
      for (const other of others) assert.deepEqual(other, first);
    });
  }
}

const find = (title: string) => byThreads[0]!.find((engine) => engine.title === title)!;
const [avx2, v2] = [find('native avx2'), find('native x86-64-v2')];

test(
  'avx2 rounds a multiply-add once, x86-64-v2 twice',
  { skip: avx2.skip || v2.skip },
  async () => {
    const stepCase = cases.find(({ title }) => title.startsWith('conv2d 2×8×8×32'))!;
    const [once, twice] = await Promise.all(
      [avx2, v2].map(({ backend }) => runCase(backend!, stepCase)),
    );
    assert.notDeepEqual(once, twice);
  },
);

/** Of all values, relative to the root mean square of those expected. */
function rootMeanSquareError(found: Float32Array, wanted: Float32Array): number {
  const squares = (values: Float32Array) => values.reduce((sum, value) => sum + value ** 2, 0);
  return Math.sqrt(squares(found.map((value, i) => value - wanted[i]!)) / squares(wanted));
}

for (const [name, least, most] of [
  ['native avx512-bf16', 0.008, 0.015],
  // The same factors as the reference's: nearly all results are rounded alike.
  ['native avx512', -1, 0.001],
] as const) {
  const { backend, skip } = find(name);
  const what = `${name}: what Winograd's transforms make of bfloat16's rounding`;
  test(what, { skip }, async (t) => {
    const index = cases.findIndex(({ title }) => /^conv2d 3×29×26.*Winograd, bfloat16/.test(title));
    const found = (await runCase(backend!, cases[index]!)).get('output0')!;
    const error = rootMeanSquareError(found, expected[index]!.get('output0')!);
    t.diagnostic(`${(100 * error).toFixed(2)} % of the root mean square`);
    assert.ok(error > least && error < most, `${error}`);
  });
}
