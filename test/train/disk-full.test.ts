/** A disk that fills up while training: the last good checkpoint stays and is named. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../../src/package-root.js';
import { runOnSmallDisk, smallDisksMissing } from '../formats/small-disk.js';
import { withFolder } from '../formats/temporary-folder.js';
import { drawImages } from './drawn-images.js';

// Room for one checkpoint of 89 MB, not for the second beside it.
const diskMegabytes = 150;

test(
  'a disk that fills up stops the run; its last checkpoint can be loaded and is named',
  { skip: smallDisksMissing },
  async () => {
    await withFolder(async (folder) => {
      const photos = path.join(folder, 'photos');
      const disk = path.join(folder, 'disk');
      await drawImages(photos, { train: [3, 3], val: [1, 1] });
      await mkdir(disk);
      const options = {
        ...{ folder: photos, out: path.join(disk, 'run'), stem: 'conv3x3', imageSize: 8 },
        ...{ batchSize: 2, momentum: 0.9, checkpointEvery: 2 },
      };
      const { root } = packageRoot();
      const module = (name: string) =>
        JSON.stringify(pathToFileURL(path.join(root, 'dist/src/train', name)).href);
      const script = `
        import { readdirSync } from 'node:fs';
        import { loadCheckpoint } from ${module('checkpoint.js')};
        import { train } from ${module('trainer.js')};
        const options = ${JSON.stringify(options)};
        const { code, message } = await train(options).catch((error) => error);
        const { training } = await loadCheckpoint(options.out + '/last.safetensors');
        const step = training.progress.globalStep;
        console.log(JSON.stringify({ code, message, step, files: readdirSync(options.out) }));`;
      const { stdout, stderr } = runOnSmallDisk(disk, diskMegabytes, [
        ...['--input-type=module', '-e', script],
      ]);
      assert(stdout !== '', stderr);
      const seen = JSON.parse(stdout) as Record<'code' | 'message', string> & {
        step: number;
        files: string[];
      };
      assert.equal(seen.code, 'disk-full');
      assert.match(seen.message, /best\.safetensors: the disk is full \(ENOSPC\): \d+ bytes/);
      assert.match(
        seen.message,
        /last good checkpoint is .*last\.safetensors \(step 2\)\. Go on with/,
      );
      assert.equal(seen.step, 2);
      assert.deepEqual(seen.files.sort(), ['config.json', 'last.safetensors', 'metrics.jsonl']);
    });
  },
);
