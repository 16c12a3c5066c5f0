/** Help, versions, and what is said of wrong usage. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { packageRoot } from '../../src/package-root.js';
import { runCli } from './run-cli.js';

const commands = [
  ['train'],
  ['eval'],
  ['predict'],
  ['export'],
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
      'model stem variant shortcut zero-init-residual squeeze-excitation dropout image-size epochs batch-size lr momentum weight-decay optimizer schedule ' +
      'warmup-epochs seed precision device threads instruction-set out resume checkpoint-every val-split skip-bad exif json';
    for (const name of options.split(' ')) assert.match(stdout, new RegExp(`\n  --${name}\\b`));
  });

  for (const command of ['train', 'bench step']) {
    test(`${command} --help has both precisions and the default`, async () => {
      const { stdout } = await runCli([...command.split(' '), '--help']);
      assert.match(stdout, /\n {2}--precision <name> [^-]*bf16[^-]*default fp32 +\(fp32, bf16\)/);
    });
  }

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
      'an unknown precision',
      ['train', 'x', '--precision', 'bf61'],
      /--precision: expected one of fp32, bf16, got "bf61"; did you mean "bf16"/,
    ],
    [
      'a precision that an evaluation does not have',
      ['bench', 'step', '--inference', '--precision', 'bf16'],
      /the precision bf16 is of training, an evaluation is always in fp32; .* leave it out/,
    ],
    [
      'an unknown instruction set',
      ['bench', 'step', '--instruction-set', 'avx3'],
      /--instruction-set: expected one of avx512-bf16, .*got "avx3"; did you mean "avx2"/,
    ],
    [
      'an instruction set of another device',
      ['bench', 'step', '--device', 'wasm', '--instruction-set', 'avx2'],
      /"avx2", which the device "wasm" does not have; take the device "native"/,
    ],
    [
      'an unknown format',
      ['export', 'best.safetensors', '--format', 'onx'],
      /--format: expected one of onnx, safetensors, pth, got "onx"; did you mean "onnx"/,
    ],
    [
      'no format',
      ['export', 'best.safetensors'],
      /required option '--format <name>' not specified/,
    ],
    [
      'an option of another format',
      ['export', 'best.safetensors', '--format', 'pth', '--no-fold-batch-norm'],
      /foldBatchNorm: is for the format onnx, the format is pth/,
    ],
    [
      "another network's option",
      ['train', 'x', '--model', 'alexnet', '--stem', 'conv3x3'],
      /alexnet has no option stem, given as conv3x3; it has dropout\. Leave it out, or take one of/,
    ],
    [
      "another network's option in a benchmark",
      ['bench', 'step', '--model', 'resnet20', '--variant', 'd'],
      /resnet20 has no option variant, given as d; it has shortcut, zeroInitResidual/,
    ],
    [
      "another network's option in a summary",
      ['summary', 'plain20', '--squeeze-excitation'],
      /plain20 has no option squeezeExcitation/,
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
