/** What the benchmark verifies before it times, and what it says afterwards. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Measured, RowResult } from '../../bench/pytorch/measure.js';
import { comparisons, jsonLine, markdown } from '../../bench/pytorch/report.js';
import { rows, sides } from '../../bench/pytorch/rows.js';
import { compare, Disagreement } from '../../bench/pytorch/verify.js';

function measured(name: string, seconds: readonly number[], peakBytes = 1e9): Measured {
  const side = sides.find((each) => each.name === name)!;
  return {
    side,
    program: 'a program',
    instructionSet: 'avx2',
    seconds,
    peakBytes,
    startBytes: 5e8,
    losses: [],
  };
}

function result(name: string, ...all: readonly Measured[]): RowResult {
  const row = rows.find((each) => each.name === name)!;
  const agreement = { largestDifference: 3e-8, tolerance: 1e-5, count: 2 };
  return { row, measured: all, leftOut: [], agreement };
}

const machine = {
  ...{ cpu: 'A processor', system: 'Linux x64', node: '20.0.0', plusx: '0.1.0' },
  ...{ pytorch: 'PyTorch 2', onnxruntime: '', threads: 2, date: '2026-01-31' },
};

test('sides that compute the same agree within the largest difference found', () => {
  const agreement = compare('loss', 'fp32', [
    { title: 'a', values: [0.5, 1] },
    { title: 'b', values: [0.5, 1 + 2 ** -20] },
  ]);
  assert.deepEqual(agreement, { largestDifference: 2 ** -20, tolerance: 1e-5, count: 2 });
});

test('sides that differ end the run, with both values; NaN agrees with nothing', () => {
  const values = [0.7, 0.6];
  for (const [other, message] of [
    [[0.7, 0.61], /loss 2 of 2: plusx has 0\.61, PyTorch 0\.6; they differ by 1\.4e-2, more than/],
    [[NaN, 0.6], /loss 1 of 2: plusx has NaN/],
    [[0.7], /plusx computed 1, PyTorch 2 values/],
  ] as const) {
    const run = () =>
      compare('loss', 'fp32', [
        { title: 'PyTorch', values },
        { title: 'plusx', values: other },
      ]);
    assert.throws(run, (error) => error instanceof Disagreement && message.test(error.message));
  }
});

test('each engine is compared with the best of PyTorch and the onnxruntime of its kind', () => {
  const all = comparisons(
    result(
      'infer-1',
      measured('native', [4, 4]),
      measured('wasm', [8, 8]),
      measured('eager', [3, 3]),
      measured('compile', [2, 2]),
      measured('onnxruntime-node', [1, 1]),
      measured('onnxruntime-web', [16, 16]),
    ),
  );
  assert.deepEqual(
    all.map(({ side, against, ratio }) => [side.side.name, against.side.name, ratio.median]),
    [
      ['native', 'compile', 2],
      ['native', 'onnxruntime-node', 4],
      ['wasm', 'compile', 4],
      ['wasm', 'onnxruntime-web', 0.5],
    ],
  );
});

test('memory is compared by bytes, and the least of PyTorch is its best', () => {
  const memory = result(
    'memory-article-224',
    measured('native', [], 2e9),
    measured('eager', [], 4e9),
    measured('compile', [], 5e9),
  );
  const [only] = comparisons(memory);
  assert.deepEqual([only?.against.side.name, only?.ratio.median], ['eager', 0.5]);
  const text = markdown(machine, [memory]);
  assert.match(text, /before the first step: native 0\.50 GB; eager 0\.50 GB/);
  assert.match(text, /2\.00 GB \| PyTorch eager \| 4\.00 GB \| 0\.50 \| 1/);
});

test('the table has figures with their spread, the notes have every variant and what is missing', () => {
  const compile = sides.find(({ name }) => name === 'compile')!;
  const row = result(
    'train-article-64',
    measured('native', [0.9, 1.1, 1]),
    measured('eager', [2, 2, 2]),
  );
  const text = markdown(machine, [{ ...row, leftOut: [{ side: compile, reason: 'no compiler' }] }]);
  assert.match(text, /^A processor, Linux x64, 2 threads each, 2026-01-31: plusx 0\.1\.0 on Node/);
  assert.match(text, /\| native \(avx2\) \| 1\.00 s \(0\.90 to 1\.10\) \| PyTorch eager \|/);
  assert.match(text, /\| 0\.50 \(0\.45 to 0\.55\) \| 3 \|/);
  assert.match(text, /- train-article-64: PyTorch .*: eager 2\.00 s .*agree within 3e-8/);
  assert.match(text, /- train-article-64: without PyTorch torch\.compile: no compiler/);
});

test('a JSON line has every turn', () => {
  const line = jsonLine(result('infer-1', measured('native', [1, 2]), measured('eager', [2, 2])));
  const parsed = JSON.parse(line) as { sides: { turns: number[] }[]; comparisons: object[] };
  assert.deepEqual(parsed.sides[0]?.turns, [1, 2]);
  assert.equal(parsed.comparisons.length, 1);
});
