/** Mutated files end in weights or in a PlusxError. CONTRIBUTING.md has the command for a longer run. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fuzz, mutated, seeds } from './fuzz.js';

const mutations = 40_000;

test(`${mutations} mutations: no other error, no hang, little memory`, async (context) => {
  const figures = await fuzz({ mutations, seed: 20 });
  const { outcomes, slowestMs, mostBytes, mostRead, seconds } = figures;
  context.diagnostic(
    `${seconds.toFixed(1)} s, the slowest ${slowestMs.toFixed(0)} ms, at most ` +
      `${(mostBytes / 1024).toFixed(0)} kiB of memory; ${JSON.stringify(outcomes)}`,
  );
  // 1 MiB for a pickle and 1 MiB for tensors, and 40 bytes a byte of files of at most 7 kB
  const largest = Math.max(...seeds().map(({ bytes }) => bytes.length));
  assert.ok(mostBytes < 2 * 2 ** 20 + 40 * largest, `${mostBytes} bytes`);
  assert.ok(mostRead < 10, `a file was read ${mostRead} times`);
  // Changes that hit a number leave good files, the others find many different faults
  assert.ok(outcomes['weights']! > mutations / 20);
  for (const code of ['malformed', 'truncated', 'unsafe', 'program', 'metadata', 'format']) {
    assert.ok(outcomes[`checkpoint-${code}`]! > 0, code);
  }
});

test('a case is a function of the seed and its number', () => {
  const all = seeds();
  for (const index of [0, 1, 999]) {
    assert.deepEqual(mutated(all, 5, index), mutated(all, 5, index));
  }
  assert.notDeepEqual(mutated(all, 5, 1), mutated(all, 5, 2));
});
