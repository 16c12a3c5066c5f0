import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { badImagesError, checkImages } from '../../src/data/doctor.js';
import { ImageFolder } from '../../src/data/image-folder.js';
import { standardPreprocessing } from '../../src/data/transforms.js';
import { withFolder } from '../formats/temporary-folder.js';
import { numbered, writeImages } from './class-folders.js';

const transform = standardPreprocessing(4);
const imageBytes = 4 * 4 * 3;

async function withImages(body: (folder: ImageFolder, root: string) => Promise<void>) {
  await withFolder(async (root) => {
    await writeImages(root, [...numbered('a', 6), ...numbered('b', 6)]);
    await body(new ImageFolder(root, transform), root);
  });
}

test('every bad image is named with its reason, in order; the others remain', async () => {
  await withImages(async (folder, root) => {
    await writeFile(path.join(root, 'a', '2.png'), '');
    await writeFile(path.join(root, 'b', '4.png'), 'text');
    const { bad, dataset } = await checkImages(folder);
    assert.deepEqual(bad, [
      { file: path.join(root, 'a', '2.png'), reason: 'the file is empty (0 bytes)' },
      { file: path.join(root, 'b', '4.png'), reason: 'it is not an image in a known format' },
    ]);
    assert.equal(dataset.length, 10);
    assert.deepEqual(dataset.folder.countByClass(), { a: 5, b: 5 });
    assert.equal(dataset.file(2), path.join(root, 'a', '3.png'));
    assert.equal(dataset.label(9), 1);
  });
});

test('what was decoded is kept within the budget and not read again', async () => {
  await withImages(async (folder, root) => {
    const { dataset } = await checkImages(folder, { concurrency: 1, cacheBytes: 4 * imageBytes });
    const expected = await Promise.all(folder.samples.map((_, i) => folder.load(i)));
    for (const [i, bytes] of expected.entries()) assert.deepEqual(await dataset.load(i), bytes);
    await rm(root, { recursive: true });
    for (let i = 0; i < 4; i++) assert.deepEqual(await dataset.load(i), expected[i]);
    for (let i = 4; i < 12; i++) await assert.rejects(dataset.load(i), /cannot be opened/);
  });
});

test('progress counts every image once, whatever the concurrency', async () => {
  await withImages(async (folder) => {
    for (const concurrency of [1, 3, 50]) {
      const seen: number[] = [];
      const onProgress = (done: number, total: number) => {
        assert.equal(total, 12);
        seen.push(done);
      };
      await checkImages(folder, { concurrency, onProgress });
      assert.deepEqual(
        seen,
        Array.from({ length: 12 }, (_, i) => i + 1),
      );
    }
  });
});

test('a check that is aborted ends', async () => {
  await withImages(async (folder) => {
    const stop = new AbortController();
    const onProgress = () => stop.abort();
    await assert.rejects(checkImages(folder, { onProgress, signal: stop.signal }), {
      name: 'AbortError',
    });
  });
});

test('the error shows the first five, counts the rest and names the way on', () => {
  const bad = Array.from({ length: 7 }, (_, i) => ({ file: `${i}.jpg`, reason: 'truncated' }));
  const { message, details } = badImagesError(bad);
  assert.match(message, /^7 images cannot be used:\n0\.jpg: truncated\n/);
  assert.match(message, /4\.jpg: truncated\n… and 2 more\n.*--skip-bad/);
  assert.doesNotMatch(message, /5\.jpg/);
  assert.deepEqual(details.bad, bad);
  assert.match(badImagesError(bad.slice(0, 1)).message, /^1 image cannot be used/);
});
