/** The options of `npm run bench:pytorch`, and what is said of wrong ones. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { PlusxError } from '../../src/errors.js';
import { packageRoot } from '../../src/package-root.js';
import { parseOptions } from '../../bench/pytorch/options.js';
import { rows, runs, sides, workload } from '../../bench/pytorch/rows.js';

const names = (entries: readonly { readonly name: string }[]) => entries.map(({ name }) => name);

test('without options every row runs on every side, with two threads', () => {
  const options = parseOptions([]);
  assert.deepEqual(names(options.rows), names(rows));
  assert.deepEqual(names(options.sides), names(sides));
  assert.deepEqual([options.threads, options.warmup, options.json], [2, 2, false]);
});

test('rows and sides are chosen by name, rounds and steps hold for all of them', () => {
  const options = parseOptions(
    '--rows infer-32,train-article-64 --sides native,eager --rounds 7 --steps 3 --json'.split(' '),
  );
  assert.deepEqual(names(options.rows), ['train-article-64', 'infer-32']);
  assert.deepEqual(names(options.sides), ['native', 'eager']);
  assert.deepEqual(
    options.rows.map(({ rounds, steps }) => [rounds, steps]),
    [
      [7, 3],
      [7, 3],
    ],
  );
  assert.equal(options.json, true);
});

test('--quick takes two rows and two rounds and one of PyTorch; what is given has precedence', () => {
  const quick = parseOptions(['--quick']);
  assert.deepEqual(names(quick.rows), ['train-article-64', 'infer-1']);
  assert.deepEqual(
    quick.rows.map(({ rounds }) => rounds),
    [2, 2],
  );
  const pytorch = quick.sides.filter(({ kind }) => kind === 'pytorch');
  assert.deepEqual(names(pytorch), ['channels-last']);
  const given = parseOptions(['--quick', '--rows', 'infer-32', '--rounds', '4']);
  assert.deepEqual(
    given.rows.map(({ name, rounds }) => [name, rounds]),
    [['infer-32', 4]],
  );
});

test('memory is a figure of the warm-up: it has no rounds', () => {
  const [row] = parseOptions(['--rows', 'memory-article-224', '--rounds', '5']).rows;
  assert.equal(row?.rounds, 0);
});

const wrong: readonly (readonly [string, RegExp])[] = [
  ['--rows train-article-46', /--rows: "train-article-46" .* did you mean "train-article-64"\?/],
  ['--sides native,egaer', /--sides: "egaer" is not known; did you mean "eager"\?/],
  ['--rounds 0', /--rounds: expected a whole number of at least 1, got "0"/],
  ['--threads two', /--threads: expected a whole number of at least 1, got "two"/],
];

test('a wrong value is refused with what was expected or meant', () => {
  for (const [line, message] of wrong) {
    assert.throws(
      () => parseOptions(line.split(' ')),
      (error) => error instanceof PlusxError && message.test(error.message),
      line,
    );
  }
});

type Case = readonly [args: readonly string[], code: number, message: RegExp];

async function expectEnds(program: string, cases: readonly Case[]): Promise<void> {
  const file = path.join(packageRoot().root, 'dist/bench/pytorch', program);
  const env = { ...process.env, PLUSX_CACHE: path.join(packageRoot().root, 'dist') };
  for (const [args, code, message] of cases) {
    const ended = await new Promise<{ code: number; output: string }>((resolve) => {
      execFile(process.execPath, [file, ...args], { env }, (error, stdout, stderr) => {
        resolve({ code: Number(error?.code ?? 0), output: stdout + stderr });
      });
    });
    assert.match(ended.output, message);
    assert.equal(ended.code, code);
  }
}

test('the program ends with exit code 2 where an option is wrong, and needs no Python to say so', () =>
  expectEnds('main.js', [
    [['--row', 'infer-1'], 2, /unknown option '--row'\n\(Did you mean --rows\?\)/],
    [['quick'], 2, /too many arguments/],
    [['--sides', 'jax'], 2, /bench:pytorch: --sides: "jax" is not known/],
    [['--python', '/no/python'], 2, /--python \/no\/python cannot import torch.*leave it out/],
    [['--help'], 0, /--rows <names> .*train-article-224/],
  ]));

test('so does the comparison of gradients', () =>
  expectEnds('gradient-error.js', [
    [['--network', '3'], 2, /unknown option '--network'\n\(Did you mean --networks\?\)/],
    [['--batches', '0'], 2, /gradient-error: --batches: expected a whole number of at least 1/],
    [['--python', '/no/python'], 2, /--python \/no\/python cannot import torch.*leave it out/],
    [['--help'], 0, /--networks <n> .*seed/],
  ]));

test('sides run what they can, and only equal work is measured once', () => {
  const row = (name: string) => rows.find((each) => each.name === name)!;
  const on = (name: string) => names(sides.filter((side) => runs(side, row(name))));
  assert.deepEqual(on('train-article-224'), [
    'native',
    'wasm',
    'eager',
    'channels-last',
    'compile',
  ]);
  assert.deepEqual(on('avx2-article-224'), ['native', 'eager', 'channels-last', 'compile']);
  assert.deepEqual(on('infer-1'), names(sides));
  const same = rows.filter((each) => workload(each) === workload(row('train-article-224')));
  assert.deepEqual(names(same), ['train-article-224', 'memory-article-224']);
});
