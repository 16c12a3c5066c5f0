import assert from 'node:assert/strict';
import test from 'node:test';
import { philox4x32, Random, type Words } from '../../src/random/philox.js';

test('Philox 4×32-10 gives the known answers of Random123', () => {
  const cases: [Words, [number, number], Words][] = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, expected] of cases) {
    assert.deepEqual(philox4x32(counter, key), expected);
  }
});

const words = (random: Random) => Array.from({ length: 12 }, () => random.word());

test('the same seed, stream and index give the same numbers', () => {
  assert.deepEqual(words(new Random(3, 'init', 5)), words(new Random(3, 'init', 5)));
});

test('another seed, stream or index gives other numbers', () => {
  const base = words(new Random(3, 'init', 5));
  const others = [
    new Random(4, 'init', 5),
    new Random(3, 'shuffle', 5),
    new Random(3, 'init', 6),
    new Random(3 + 2 ** 32, 'init', 5),
    new Random(-3, 'init', 5),
  ];
  for (const other of others) assert.notDeepEqual(words(other), base);
});

// Bounds are five standard errors of the mean over `draws`.
const draws = 100_000;

test('uniform numbers stay in their range and have its mean and variance', () => {
  const random = new Random(0, 'bench');
  const values = Float64Array.from({ length: draws }, () => random.uniform(-1, 3));
  assert.ok(values.every((value) => value >= -1 && value < 3));
  const { mean, variance } = moments(values);
  assert.ok(Math.abs(mean - 1) < 5 * Math.sqrt(16 / 12 / draws), `mean ${mean}`);
  assert.ok(Math.abs(variance - 16 / 12) < 0.03, `variance ${variance}`);
});

test('normal numbers are finite and have the mean and deviation asked for', () => {
  const random = new Random(0, 'bench');
  const values = Float64Array.from({ length: draws }, () => random.normal(2, 0.5));
  assert.ok(values.every(Number.isFinite));
  const { mean, variance } = moments(values);
  assert.ok(Math.abs(mean - 2) < (5 * 0.5) / Math.sqrt(draws), `mean ${mean}`);
  assert.ok(Math.abs(variance / 0.25 - 1) < 5 * Math.sqrt(2 / draws), `variance ${variance}`);
});

test('whole numbers below n are even over 0 … n - 1', () => {
  const random = new Random(0, 'bench');
  const counts = new Array<number>(7).fill(0);
  for (let i = 0; i < draws; i++) counts[random.below(7)]!++;
  const expected = draws / 7;
  for (const count of counts) assert.ok(Math.abs(count - expected) < 5 * Math.sqrt(expected));
});

test('a permutation holds every index once, in an order of its own for each epoch', () => {
  for (const n of [0, 1, 2, 17, 1000]) {
    const order = new Random(0, 'shuffle', 1).permutation(n);
    assert.deepEqual(
      [...order].sort((a, b) => a - b),
      Array.from({ length: n }, (_, i) => i),
    );
  }
  const epochs = [0, 1, 2].map((epoch) => new Random(0, 'shuffle', epoch).permutation(100).join());
  assert.equal(new Set(epochs).size, 3);
});

function moments(values: Float64Array) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, variance };
}
