/** What a user can get wrong: exit code 2, the thing named, no stack trace, nothing half-written. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { numbered, writeImages } from '../data/class-folders.js';
import { runCli } from './run-cli.js';

const recipe = '--stem conv3x3 --image-size 16 --batch-size 2 --epochs 1 --seed 0'.split(' ');
let cwd = '';
const at = (...parts: string[]) => path.join(cwd, ...parts);

before(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'plusx-errors-'));
  await writeImages(at('good'), [...numbered('a', 4), ...numbered('b', 4)]);
  const made = await runCli(['train', 'good', ...recipe, '--out', 'run'], { cwd });
  assert.equal(made.code, 0, made.stderr);
});
after(() => rm(cwd, { recursive: true, force: true }));

/** Runs and expects exit code 2 with these words. */
async function refused(args: readonly string[], ...messages: readonly RegExp[]): Promise<void> {
  const { code, stdout, stderr } = await runCli(args, { cwd });
  for (const message of messages) assert.match(stderr, message);
  assert.doesNotMatch(stderr, /\n {4}at |internal error/);
  assert.equal(stdout, '');
  assert.equal(code, 2);
}

async function refusedTraining(folder: string, ...messages: readonly RegExp[]): Promise<void> {
  await refused(['train', folder, ...recipe, '--out', 'none'], ...messages);
  assert.ok(!existsSync(at('none')), 'a run folder was left behind');
}

describe('train refuses', () => {
  test('a folder that is not there', () =>
    refusedTraining('nowhere', /nowhere: there is no such folder; check the path/));

  test('an empty folder', async () => {
    await mkdir(at('empty'));
    await refusedTraining('empty', /empty: the folder is empty; put the images of each class/);
  });

  test('one class only', async () => {
    await writeImages(at('single'), numbered('only', 4));
    await refusedTraining('single', /single: .*only.*at least 2 are needed/);
  });

  test('a class without images', async () => {
    await writeImages(at('hollow'), [...numbered('a', 3), ...numbered('b', 3)]);
    await mkdir(at('hollow/c'));
    await refusedTraining('hollow', /hollow\/c: class "c" has no image .*add images or remove/);
  });

  test('a batch larger than the data', () =>
    refused(
      ['train', 'good', ...recipe, '--batch-size', '64', '--out', 'none'],
      /batchSize 64 is larger than the data of \d+ images/,
    ));

  test('a run folder that is taken', () =>
    refused(['train', 'good', ...recipe, '--out', 'run'], /run holds a run already; .*--resume/));

  test('to resume what is not there', () =>
    refused(['train', '--resume', 'gone'], /no run and no checkpoint at .*gone/));

  test('bad images, naming each with its reason, and goes on with --skip-bad', async () => {
    await cp(at('good'), at('bad'), { recursive: true });
    await writeFile(at('bad/a/zero.jpg'), '');
    await writeFile(at('bad/a/words.jpg'), 'these are words');
    const whole = readFileSync(at('good/a/0.png'));
    await writeFile(at('bad/b/half.png'), whole.subarray(0, whole.length >> 1));
    await refusedTraining('bad', /zero\.jpg/, /words\.jpg/, /half\.png/, /--skip-bad/);

    const args = ['train', 'bad', ...recipe, '--out', 'skipped', '--skip-bad'];
    const { code, stderr } = await runCli(args, { cwd });
    assert.equal(code, 0, stderr);
    assert.match(stderr, /going on without 3 of 11 images/);
    const summary = readFileSync(at('skipped/summary.json'), 'utf8');
    for (const name of ['zero.jpg', 'words.jpg', 'half.png'])
      assert.ok(summary.includes(name), name);
  });
});

describe('eval and predict refuse', () => {
  test('a checkpoint that is not there', () =>
    refused(['eval', 'gone.safetensors', 'good'], /gone\.safetensors/));

  test('a truncated checkpoint', async () => {
    await cp(at('run/last.safetensors'), at('short.safetensors'));
    await truncate(at('short.safetensors'), 1_000_000);
    await refused(['eval', 'short.safetensors', 'good'], /short\.safetensors is truncated/);
  });

  test('a file that is no safetensors', async () => {
    await writeFile(at('words.safetensors'), 'these are words, and not at all few of them');
    await refused(
      ['predict', 'words.safetensors', 'good/a/0.png'],
      /words\.safetensors is neither safetensors nor a file of PyTorch; name a/,
    );
  });

  test('a checkpoint of something else', async () => {
    const header = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  ';
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    await writeFile(
      at('other.safetensors'),
      Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)]),
    );
    await refused(
      ['eval', 'other.safetensors', 'good'],
      /other\.safetensors holds 1 tensors, but no model/,
    );
  });

  test('weights of another model, naming the weight and both shapes', async () => {
    const bytes = readFileSync(at('run/last.safetensors'));
    // The model's name is stored in the header: claim the other stem, of the same length.
    const claim = Buffer.from(bytes.toString('latin1').replaceAll('conv3x3', 'conv7x7'), 'latin1');
    await writeFile(at('swapped.safetensors'), claim);
    await refused(['eval', 'swapped.safetensors', 'good'], /conv1\.weight/, /64.*3.*7.*7/s);
  });

  test('an image that is not there', () =>
    refused(['predict', 'run/last.safetensors', 'gone.jpg'], /gone\.jpg/));

  test('a folder with another class', async () => {
    await writeImages(at('foreign'), [...numbered('a', 2), ...numbered('zebra', 2)]);
    await refused(['eval', 'run/last.safetensors', 'foreign'], /class "zebra" is not among the 2/);
  });
});

test('no temporary file is left behind by all that', () => {
  const left = readdirSync(cwd, { recursive: true, encoding: 'utf8' });
  assert.deepEqual(
    left.filter((file) => /tmp|\.new$|\.part/.test(path.basename(file))),
    [],
  );
});
