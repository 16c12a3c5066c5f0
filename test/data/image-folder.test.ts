import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { ImageFolder, openDataset, openLabelled } from '../../src/data/image-folder.js';
import { standardPreprocessing } from '../../src/data/transforms.js';
import { withFolder } from '../formats/temporary-folder.js';
import { numbered, writeImages } from './class-folders.js';

const transform = standardPreprocessing(4);

function relative(folder: ImageFolder): string[] {
  return folder.samples.map(({ file, label }) => {
    return `${path.relative(folder.root, file).split(path.sep).join('/')} ${label}`;
  });
}

test('classes and samples are sorted as Python sorts, as in torchvision', async () => {
  await withFolder(async (root) => {
    await writeImages(root, ['b/10.png', 'b/9.png', 'B/x.PNG', 'a/é.png', 'a/z.png', 'a/in/y.png']);
    const folder = new ImageFolder(root, transform);
    assert.deepEqual(folder.classes, ['B', 'a', 'b']);
    assert.deepEqual(relative(folder), [
      'B/x.PNG 0',
      'a/in/y.png 1',
      'a/z.png 1',
      'a/é.png 1',
      'b/10.png 2',
      'b/9.png 2',
    ]);
    assert.deepEqual(folder.countByClass(), { B: 1, a: 3, b: 2 });
  });
});

test('hidden files and files that are no images by name are left out', async () => {
  await withFolder(async (root) => {
    await writeImages(root, ['a/1.png', 'b/1.png', '.hidden/1.png', 'a/._1.png']);
    await writeFile(path.join(root, 'a', 'Thumbs.db'), 'x');
    await writeFile(path.join(root, 'a', 'labels.txt'), 'x');
    await writeFile(path.join(root, 'readme.md'), 'x');
    assert.deepEqual(relative(new ImageFolder(root, transform)), ['a/1.png 0', 'b/1.png 1']);
  });
});

test('links to images are followed, loops of folders and broken links do no harm', async () => {
  await withFolder(async (root) => {
    await writeImages(root, ['a/1.png', 'b/1.png']);
    await symlink(root, path.join(root, 'a', 'loop'));
    await symlink('itself', path.join(root, 'itself'));
    await symlink('../a/1.png', path.join(root, 'b', '2.png'));
    await symlink('nowhere.png', path.join(root, 'b', '3.png'));
    const folder = new ImageFolder(root, transform);
    assert.deepEqual(relative(folder), ['a/1.png 0', 'b/1.png 1', 'b/2.png 1', 'b/3.png 1']);
    await assert.rejects(folder.load(3), /3\.png: the file cannot be opened/);
  });
});

for (const source of ['val', 'test'] as const) {
  test(`train/ with ${source}/ is taken as it stands`, async () => {
    await withFolder(async (root) => {
      await writeImages(root, ['train/a/1.png', 'train/b/1.png', `${source}/b/2.png`]);
      const { train, val, source: found } = openDataset(root, { transform });
      assert.equal(found, source);
      assert.deepEqual(relative(train), ['a/1.png 0', 'b/1.png 1']);
      assert.deepEqual(relative(val), ['b/2.png 1']);
      assert.deepEqual(val.classes, ['a', 'b']);
    });
  });
}

test('without val/, a seeded share of each class is held out, and nothing is in both', async () => {
  await withFolder(async (root) => {
    await writeImages(root, [...numbered('a', 30), ...numbered('b', 12), ...numbered('c', 2)]);
    const open = (seed: number) => openDataset(root, { transform, valSplit: 0.2, seed });
    const { train, val, source } = open(0);
    assert.equal(source, 'split');
    assert.deepEqual(val.countByClass(), { a: 6, b: 2, c: 1 });
    assert.deepEqual(train.countByClass(), { a: 24, b: 10, c: 1 });
    assert.equal(new Set([...relative(train), ...relative(val)]).size, 44);
    assert.deepEqual(relative(open(0).val), relative(val));
    assert.notDeepEqual(relative(open(1).val), relative(val));
  });
});

test('a class of one image keeps it for training', async () => {
  await withFolder(async (root) => {
    await writeImages(root, [...numbered('a', 1), ...numbered('b', 5)]);
    const { train, val } = openDataset(root, { transform });
    assert.deepEqual(train.countByClass(), { a: 1, b: 4 });
    assert.deepEqual(val.countByClass(), { a: 0, b: 1 });
  });
});

test('what is wrong with a folder is said, with the next step', async () => {
  await withFolder(async (root) => {
    const open = (name: string, valSplit = 0.1) => {
      return () => openDataset(path.join(root, name), { transform, valSplit });
    };
    assert.throws(open('none'), /none: there is no such folder; check the path/);
    await writeFile(path.join(root, 'file'), 'x');
    assert.throws(open('file'), /file: this is a file, a folder is needed/);
    await mkdir(path.join(root, 'empty'));
    assert.throws(open('empty'), /empty: the folder is empty; put the images of each class/);
    await writeImages(root, ['flat/1.png']);
    assert.throws(open('flat'), /flat: no class folder, at least 2 are needed; put the images/);
    await writeImages(root, ['one/a/1.png']);
    assert.throws(open('one'), /one: one class only \("a"\), at least 2 are needed/);
    await writeImages(root, ['bare/a/1.png', 'bare/b/1.png']);
    await mkdir(path.join(root, 'bare', 'c'));
    assert.throws(open('bare'), /class "c" has no image .*; add images or remove the folder/);
    await writeImages(root, ['few/a/1.png', 'few/b/1.png']);
    assert.throws(open('few'), /2 images are too few to hold any out/);
    for (const share of [0, 1, NaN]) {
      assert.throws(open('few', share), new RegExp(`val-split .* got ${share}`));
    }
    await writeImages(root, ['odd/train/a/1.png', 'odd/train/b/1.png', 'odd/val/c/1.png']);
    assert.throws(open('odd'), /val: class "c" is not among the 2 that are trained \(a, b\)/);
  });
});

test('labelled images for evaluation get the labels of the trained classes', async () => {
  await withFolder(async (root) => {
    await writeImages(root, ['plain/b/1.png', 'laid/train/a/1.png', 'laid/val/b/2.png']);
    const open = (name: string) => openLabelled(path.join(root, name), transform, ['a', 'b', 'c']);
    assert.deepEqual(relative(open('plain')), ['b/1.png 1']);
    assert.deepEqual(relative(open('laid')), ['b/2.png 1']);
  });
});
