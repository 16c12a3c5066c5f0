/** `plusx inspect` and `plusx import`, as a person and as a machine call them. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createModel } from '../../src/models/registry.js';
import { packageRoot } from '../../src/package-root.js';
import { saveWeights } from '../../src/train/checkpoint.js';
import { initialValues } from '../../src/train/initialize.js';
import { toFileLayout, type StateDict } from '../../src/train/state-dict.js';
import { call, dict, global, pickle, tensor, text, torchZip } from '../formats/pickle-writer.js';
import { runCli } from './run-cli.js';

const fixture = (name: string) => path.join(packageRoot().root, 'test/fixtures/weights', name);
let cwd = '';

before(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'plusx-weights-'));
  const model = createModel('plain20', { classes: 3 });
  const state: StateDict = new Map();
  for (const [key, data] of initialValues(model, 0)) {
    const { shape } = model.namedParameters().get(key)!;
    state.set(`module.${key}`, toFileLayout(shape, data));
  }
  await saveWeights(path.join(cwd, 'plain20.safetensors'), state);
});
after(() => rm(cwd, { recursive: true, force: true }));

describe('inspect', () => {
  test('prints format, size, metadata, keys, dtypes and shapes', async () => {
    const { code, stdout } = await runCli(['inspect', fixture('wrapped.pth')]);
    assert.equal(code, 0);
    assert.match(stdout, /wrapped\.pth: pytorch-zip, 7 kB, 7 tensors, 12 parameters\n/);
    assert.match(stdout, /\nof its entry state_dict; also there: ema\n/);
    assert.match(stdout, /\nepoch +7\narch +tiny\n/);
    assert.match(stdout, /\nmodule\.0\.weight +F32 +2×3\n/);
    assert.match(stdout, /\nmodule\.1\.num_batches_tracked +I64 +·\n/);
  });

  test('--json has the file, then a tensor a line', async () => {
    const { records } = await runCli(['inspect', fixture('legacy.pth'), '--json']);
    const [file, ...tensors] = records();
    assert.deepEqual([file!['type'], file!['format']], ['file', 'pytorch-legacy']);
    assert.equal(tensors.length, 19);
    const [plain] = tensors;
    assert.deepEqual(plain, {
      ...{ type: 'tensor', key: 'plain', dtype: 'F32', shape: [2, 3, 2, 2], bytes: 96 },
    });
  });

  test('a file that wants something called is refused, and nothing is called', async () => {
    const victim = path.join(cwd, 'victim');
    const file = path.join(cwd, 'evil.pth');
    await writeFile(file, pickle(call(global('os', 'system'), text(`touch ${victim}`))));
    const { code, stdout, stderr } = await runCli(['inspect', file]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /evil\.pth: the pickle in it asks for "os\.system", which plusx does not/);
    assert.ok(!existsSync(victim));
  });

  test('names are shown without what misleads a terminal', async () => {
    const file = path.join(cwd, 'names.pth');
    const state = dict([[text('weight\x1b[31m\x9b2K'), tensor({ shape: [0] })]]);
    await writeFile(file, torchZip(state));
    const { stdout } = await runCli(['inspect', file]);
    assert.match(stdout, /weight\\x1b\[31m\\x9b2K/);
  });
});

describe('import', () => {
  const base = ['import', 'plain20.safetensors', '--model', 'plain20'];

  test('says what it undid, and inspect reads what it wrote', async () => {
    await writeFile(path.join(cwd, 'labels.txt'), 'cat\ndog\nfrog\n');
    const args = [...base, '--class-names', 'labels.txt', '--out', 'made.safetensors'];
    const { code, stdout, stderr } = await runCli(args, { cwd });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^prefix "module\." removed\n/);
    assert.match(
      stdout,
      /made\.safetensors: plain20, 269,267 parameters, 3 classes, images of 32 px \(shorter side 32 before\)\n$/,
    );
    const inspected = await runCli(['inspect', 'made.safetensors'], { cwd });
    assert.match(inspected.stdout, /plusx\.classes +\["cat","dog","frog"\]/);
  });

  test('--json has the report', async () => {
    const args = [...base, '--class-names', 'a,b,c', '--mean', '0.5,0.5,0.5', '--json'];
    const { records } = await runCli([...args, '--out', 'json.safetensors'], { cwd });
    const [report] = records();
    assert.deepEqual(
      [report!['type'], report!['classes'], report!['format']],
      ['import', ['a', 'b', 'c'], 'safetensors'],
    );
    assert.deepEqual(report!['preprocessing'], {
      ...{ resize: 32, crop: 32, mean: [0.5, 0.5, 0.5], std: [0.229, 0.224, 0.225] },
      exif: 'honour',
    });
  });

  const wrong: [string, string[], RegExp][] = [
    ['another network', ['--out', 'none'], /plain20 with 10 classes:\n2 keys have other shapes/],
    [
      'names that are nowhere',
      ['--class-names', 'nowhere.txt', '--out', 'none'],
      /--class-names: now/,
    ],
    [
      'two means',
      ['--mean', '1,2', '--out', 'none'],
      /--mean: expected three numbers .* got "1,2"/,
    ],
    ['no target', [], /required option '--out <file>' not specified/],
    ['no network', ['--out', 'none', '--model', 'plain21'], /did you mean "plain20"/],
  ];
  for (const [what, args, message] of wrong) {
    test(`refuses ${what}`, async () => {
      const { code, stdout, stderr } = await runCli([...base, ...args], { cwd });
      assert.deepEqual([code, stdout], [2, ''], stderr);
      assert.match(stderr, message);
      assert.ok(!existsSync(path.join(cwd, 'none')));
    });
  }

  test('predict says how to make a checkpoint of a file of PyTorch', async () => {
    const { code, stderr } = await runCli(['predict', fixture('legacy.pth'), 'x.png']);
    assert.equal(code, 2);
    assert.match(stderr, /legacy\.pth is a file of PyTorch: .* plusx import .*legacy\.pth --model/);
  });
});
