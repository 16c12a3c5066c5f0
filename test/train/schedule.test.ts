import assert from 'node:assert/strict';
import test from 'node:test';
import { learningRate, type Schedule } from '../../src/train/schedule.js';

const rates = (schedule: Schedule) =>
  Array.from({ length: schedule.totalSteps }, (_, t) => learningRate(schedule, t));

test('a constant schedule holds its rate after a linear warm-up', () => {
  const schedule = { kind: 'constant', lr: 0.4, warmupSteps: 4, totalSteps: 6 } as const;
  assert.deepEqual(rates(schedule), [0.1, 0.2, 0.30000000000000004, 0.4, 0.4, 0.4]);
});

test('a cosine schedule begins at its rate, halves midway and ends above zero', () => {
  const schedule = { kind: 'cosine', lr: 2, warmupSteps: 0, totalSteps: 8 } as const;
  const values = rates(schedule);
  assert.equal(values[0], 2);
  assert(Math.abs(values[4]! - 1) < 1e-12);
  assert(Math.abs(values[2]! - (1 + Math.SQRT1_2)) < 1e-12);
  assert(values[7]! > 0 && values[7]! < 0.1);
  assert.deepEqual(
    values,
    [...values].sort((a, b) => b - a),
  );
});

test('a cosine schedule reaches its rate at the end of warm-up and falls from there', () => {
  const schedule = { kind: 'cosine', lr: 1, warmupSteps: 2, totalSteps: 4 } as const;
  const [first, second, third, fourth] = rates(schedule);
  assert.deepEqual([first, second, third], [0.5, 1, 1]);
  assert(Math.abs(fourth! - 0.5) < 1e-12);
});

test('a run that is all warm-up never divides by zero', () => {
  const schedule = { kind: 'cosine', lr: 1, warmupSteps: 2, totalSteps: 2 } as const;
  assert.deepEqual([...rates(schedule), learningRate(schedule, 2)], [0.5, 1, 1]);
});
