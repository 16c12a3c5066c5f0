import assert from 'node:assert/strict';
import { open, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import {
  removeStaleFiles,
  writeFileAtomically,
  type AtomicFileSystem,
} from '../../src/formats/atomic-file.js';
import { packageRoot } from '../../src/package-root.js';
import { runOnSmallDisk, smallDisksMissing } from './small-disk.js';
import { withFolder } from './temporary-folder.js';

/** A disk with room for `capacity` bytes. */
function smallDisk(capacity: number, code = 'ENOSPC'): AtomicFileSystem {
  let free = capacity;
  return {
    rename,
    open: async (file, flags) => {
      const handle = await open(file, flags);
      return {
        sync: () => handle.sync(),
        close: () => handle.close(),
        write: (data) => {
          if (data.length > free) {
            return Promise.reject(Object.assign(new Error('no space left'), { code }));
          }
          free -= data.length;
          return handle.write(data);
        },
      };
    },
  };
}

test('a full disk leaves the old file, no temporary one, and names the bytes', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'last.safetensors');
    await writeFileAtomically(file, [Buffer.from('good')]);
    const parts = [Buffer.alloc(60), Buffer.alloc(60)];
    await assert.rejects(writeFileAtomically(file, parts, smallDisk(100)), {
      code: 'disk-full',
      message: /last\.safetensors: the disk is full \(ENOSPC\): 120 bytes are needed, \d+ are free/,
    });
    assert.equal(await readFile(file, 'utf8'), 'good');
    assert.deepEqual(await readdir(folder), ['last.safetensors']);
  });
});

test('other failures of a write are passed on, and leave nothing either', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'a');
    const broken = smallDisk(0, 'EIO');
    await assert.rejects(writeFileAtomically(file, [Buffer.alloc(9)], broken), { code: 'EIO' });
    assert.deepEqual(await readdir(folder), []);
  });
});

test('what killed writers left is removed, everything else stays', async () => {
  await withFolder(async (folder) => {
    for (const name of ['last.safetensors.4711.tmp', 'last.safetensors', 'notes.tmp']) {
      await writeFile(path.join(folder, name), 'x');
    }
    await removeStaleFiles(folder);
    assert.deepEqual((await readdir(folder)).sort(), ['last.safetensors', 'notes.tmp']);
  });
});

test(
  'a real disk of one megabyte: the first checkpoint stays, the second says what it needs',
  { skip: smallDisksMissing },
  async () => {
    await withFolder((folder) => {
      const atomicFile = path.join(packageRoot().root, 'dist/src/formats/atomic-file.js');
      const script = `
        import { readdirSync, statSync } from 'node:fs';
        import { writeFileAtomically } from '${pathToFileURL(atomicFile).href}';
        const file = process.argv[1] + '/last.safetensors';
        await writeFileAtomically(file, [new Uint8Array(600_000)]);
        const failure = await writeFileAtomically(file, [new Uint8Array(700_000)]).catch((e) => e);
        console.log(JSON.stringify({
          code: failure.code,
          needed: failure.details.needed,
          kept: statSync(file).size,
          files: readdirSync(process.argv[1]),
        }));`;
      const nodeArguments = ['--input-type=module', '-e', script, folder];
      const { stdout, stderr } = runOnSmallDisk(folder, 1, nodeArguments);
      assert.deepEqual(
        JSON.parse(stdout || '{}'),
        { code: 'disk-full', needed: 700_000, kept: 600_000, files: ['last.safetensors'] },
        stderr,
      );
      return Promise.resolve();
    });
  },
);
