/** The demo data set: real JPEG files in class folders, the same for a seed, and complete. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import sharp from 'sharp';
import { ImageFolder, standardPreprocessing, type PlusxError } from '../../src/index.js';
import { drawDemoDataset } from '../../src/demo/draw.js';

const scratch = await mkdtemp(path.join(tmpdir(), 'plusx-demo-test-'));
after(() => rm(scratch, { recursive: true }));
const small = { trainPerClass: 12, valPerClass: 5 };

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.jpg'))
    .sort();

function digest(folder: string): string {
  const hash = createHash('sha256');
  for (const file of filesOf(folder))
    hash.update(file).update(readFileSync(path.join(folder, file)));
  return hash.digest('hex');
}

test('classes are balanced, and the folders are those that train reads', async () => {
  const folder = path.join(scratch, 'balanced');
  const ticks: number[] = [];
  const drawn = await drawDemoDataset(folder, { ...small, onProgress: (done) => ticks.push(done) });
  assert.equal(drawn.images, 34);
  assert.deepEqual(
    ticks,
    Array.from({ length: 34 }, (_, i) => i + 1),
  );
  for (const [part, count] of [
    ['train', 12],
    ['val', 5],
  ] as const) {
    const { classes, samples } = new ImageFolder(
      path.join(folder, part),
      standardPreprocessing(32),
    );
    assert.deepEqual(classes, ['cats', 'dogs']);
    for (const label of [0, 1]) {
      assert.equal(samples.filter((sample) => sample.label === label).length, count);
    }
  }
  assert.ok(filesOf(folder).includes(path.relative(folder, drawn.example)));
});

test('the images are JPEG files of different sizes, no two alike', async () => {
  const folder = path.join(scratch, 'balanced');
  const sizes = new Set<string>();
  const contents = new Set<string>();
  for (const file of filesOf(folder)) {
    const bytes = readFileSync(path.join(folder, file));
    const { format, width, height, channels } = await sharp(bytes).metadata();
    assert.equal(format, 'jpeg');
    assert.equal(channels, 3);
    assert.ok(width >= 64 && height >= 64, `${file}: ${width}×${height}`);
    sizes.add(`${width}×${height}`);
    contents.add(createHash('sha256').update(bytes).digest('hex'));
  }
  assert.ok(sizes.size > 20, `${sizes.size} sizes`);
  assert.equal(contents.size, 34);
});

test('the same seed draws the same files, another seed others', async () => {
  const folder = path.join(scratch, 'again');
  await drawDemoDataset(folder, small);
  assert.equal(digest(folder), digest(path.join(scratch, 'balanced')));
  const other = path.join(scratch, 'other');
  await drawDemoDataset(other, { ...small, seed: 1 });
  assert.notEqual(digest(other), digest(folder));
});

test('a drawn set is used again, one that was interrupted is drawn anew', async () => {
  const folder = path.join(scratch, 'again');
  const wanted = digest(folder);
  let drawn = 0;
  const onProgress = () => void drawn++;
  await drawDemoDataset(folder, { ...small, onProgress });
  assert.equal(drawn, 0);
  // Killed while drawing: the files lie beside, and nothing at the folder.
  await rename(folder, `${folder}.drawing`);
  await rm(path.join(`${folder}.drawing`, 'drawn.json'));
  await rm(path.join(`${folder}.drawing`, 'train/cats/cat-0003.jpg'));
  await drawDemoDataset(folder, { ...small, onProgress });
  assert.equal(drawn, 34);
  assert.equal(digest(folder), wanted);
});

test('a folder that plusx did not draw is left alone', async () => {
  const folder = path.join(scratch, 'own');
  await mkdir(folder);
  writeFileSync(path.join(folder, 'holiday.jpg'), 'mine');
  await assert.rejects(drawDemoDataset(folder, small), (error: PlusxError) => {
    assert.equal(error.code, 'demo-folder');
    assert.ok(error.message.includes(folder));
    return true;
  });
  assert.equal(readFileSync(path.join(folder, 'holiday.jpg'), 'utf8'), 'mine');
});

for (const option of ['trainPerClass', 'valPerClass'] as const) {
  test(`${option} of 0 is refused`, async () => {
    const folder = path.join(scratch, 'none');
    await assert.rejects(
      drawDemoDataset(folder, { ...small, [option]: 0 }),
      /must be a whole number of at least 1, got 0/,
    );
  });
}
