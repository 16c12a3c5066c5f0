/** Help, versions, and what is said of wrong usage. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { packageRoot } from '../../src/package-root.js';
import { runCli } from './run-cli.js';

const commands = [
  ['train'],
  ['eval'],
  ['predict'],
  ['devices'],
  ['summary'],
  ['inspect'],
  ['import'],
  ['bench', 'step'],
  ['build-native'],
  ['demo'],
];

describe('help', () => {
  for (const command of commands) {
    test(`${command.join(' ')} --help explains itself with examples`, async () => {
      const { code, stdout, stderr } = await runCli([...command, '--help']);
      assert.equal(code, 0);
      assert.equal(stderr, '');
      assert.match(stdout, new RegExp(`^Usage: plusx ${command.join(' ')}`));
      assert.match(stdout, new RegExp(`\nExamples:\n  \\$ .*plusx ${command.join(' ')}`));
      assert.match(stdout, /--json /);
    });
  }

  test('plusx --help names every command', async () => {
    const { code, stdout } = await runCli(['--help']);
    assert.equal(code, 0);
    for (const [name] of commands) assert.match(stdout, new RegExp(`\n  ${name}\\b`));
  });

  test('train --help has every option', async () => {
    const { stdout } = await runCli(['train', '--help']);
    const options =
      'model stem image-size epochs batch-size lr momentum weight-decay optimizer schedule ' +
      'warmup-epochs seed device threads instruction-set out resume checkpoint-every val-split skip-bad exif json';
    for (const name of options.split(' ')) assert.match(stdout, new RegExp(`\n  --${name}\\b`));
  });

  test('--version is that of the package', async () => {
    const { code, stdout } = await runCli(['--version']);
    assert.equal(code, 0);
    assert.equal(stdout, `${packageRoot().version}\n`);
  });
});

describe('wrong usage ends with exit code 2 and says what is right', () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no command', [], /Usage: plusx/],
    [
      'an unknown command',
      ['trian', 'photos'],
      /unknown command 'trian'\n\(Did you mean train\?\)/,
    ],
    ['an unknown subcommand', ['bench', 'stp'], /unknown command 'stp'\n\(Did you mean step\?\)/],
    ['an unknown option', ['train', 'x', '--epoch', '3'], /'--epoch'\n\(Did you mean --epochs\?\)/],
    ['an unknown option of eval', ['eval', 'a', 'b', '--jsn'], /Did you mean --json\?/],
    ['a missing argument', ['eval', 'best.safetensors'], /missing required argument 'folder'/],
    ['an argument too many', ['devices', 'cuda'], /too many arguments/],
    ['a missing value', ['train', 'x', '--epochs'], /'--epochs <n>' argument missing/],
    ['no folder', ['train'], /no folder is given; name a folder of photographs/],
    [
      'a word for a number',
      ['train', 'x', '--epochs', 'abc'],
      /--epochs: expected a whole number of at least 1, got "abc"/,
    ],
    [
      'a broken number',
      ['train', 'x', '--batch-size', '2.5'],
      /--batch-size: expected a whole number of at least 1, got "2.5"/,
    ],
    [
      'a negative number',
      ['train', 'x', '--lr', '-1'],
      /--lr: expected a number of at least 0, got "-1"/,
    ],
    [
      'a share too large',
      ['train', 'x', '--val-split', '1'],
      /--val-split: expected a number from 0 to below 1, got "1"/,
    ],
    [
      'an unknown word',
      ['train', 'x', '--optimizer', 'sdg'],
      /--optimizer: expected one of sgd, adamw, got "sdg"; did you mean "sgd"/,
    ],
    [
      'an unknown instruction set',
      ['bench', 'step', '--instruction-set', 'avx3'],
      /--instruction-set: expected one of avx512, .*got "avx3"; did you mean "avx2"/,
    ],
    [
      'an instruction set of another device',
      ['bench', 'step', '--device', 'wasm', '--instruction-set', 'avx2'],
      /"avx2", which the device "wasm" does not have; take the device "native"/,
    ],
    [
      'an unknown model',
      ['summary', 'resnet19'],
      /model "resnet19" is not known; did you mean "resnet18"\?/,
    ],
  ];
  for (const [title, args, message] of cases) {
    test(title, async () => {
      const { code, stdout, stderr } = await runCli(args);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n {4}at |internal error/);
      assert.equal(stdout, '');
      assert.equal(code, 2);
    });
  }
});

test('a reader that has seen enough is no error', async () => {
  const { execFile } = await import('node:child_process');
  const { promisify } = await import('node:util');
  const { root } = packageRoot();
  const line = `"${process.execPath}" dist/src/cli/main.js summary resnet18 | head -n 1`;
  const { stderr } = await promisify(execFile)('sh', ['-c', line], { cwd: root });
  assert.equal(stderr, '');
});
