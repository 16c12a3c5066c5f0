/** The benchmark's arithmetic: medians, ratios pair by pair, the best of several. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fastest, pairRatios, summarize } from '../../bench/pytorch/statistics.js';

test('a summary has the middle value, or the mean of the two in the middle', () => {
  assert.deepEqual(summarize([3, 1, 2]), { median: 2, min: 1, max: 3, n: 3 });
  assert.deepEqual(summarize([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4, n: 4 });
  assert.deepEqual(summarize([7]), { median: 7, min: 7, max: 7, n: 1 });
  assert.throws(() => summarize([]), /internal: a summary of no values/);
});

test('ratios are taken turn by turn: a slow minute that hits both sides changes nothing', () => {
  // The machine is three times as slow in the last two rounds.
  const [a, b] = [
    [2, 2, 6, 6],
    [1, 1, 3, 3],
  ];
  assert.deepEqual(pairRatios(a, b), { median: 2, min: 2, max: 2, n: 4 });
  assert.throws(() => pairRatios([1], [1, 2]), /internal: 1 turns against 2/);
});

test('the fastest is the one with the smallest median, not with the luckiest turn', () => {
  const sides = [
    { name: 'lucky', seconds: [1, 9, 9] },
    { name: 'steady', seconds: [4, 4, 4] },
  ];
  assert.equal(fastest(sides, ({ seconds }) => seconds)?.name, 'steady');
  assert.equal(
    fastest([], () => []),
    undefined,
  );
});
