/**
 * Files that are there as a whole or not at all: written under another name in the same folder,
 * flushed, then renamed. A process killed in between leaves the old file and a `.tmp` behind.
 */
import { open, readdir, rename, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PlusxError } from '../errors.js';

/** The calls a write needs, so that a test can let a disk run full. */
export interface AtomicFileSystem {
  readonly open: (path: string, flags: string) => Promise<AtomicFileHandle>;
  readonly rename: (from: string, to: string) => Promise<void>;
}

export interface AtomicFileHandle {
  readonly write: (data: Uint8Array) => Promise<{ bytesWritten: number }>;
  readonly sync: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const nodeFileSystem: AtomicFileSystem = { open, rename };

// A write call takes at most 2 GiB; smaller pieces also let other work in between.
const pieceBytes = 2 ** 24;

/**
 * Replaces `path` by `parts`, one after the other. Throws PlusxError `disk-full` with the bytes
 * needed and free; whatever goes wrong, the file that was there stays and the new one is removed.
 */
export async function writeFileAtomically(
  path: string,
  parts: readonly Uint8Array[],
  fileSystem: AtomicFileSystem = nodeFileSystem,
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const handle = await fileSystem.open(temporary, 'w');
    try {
      for (const part of parts) await writeAll(handle, part);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fileSystem.rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    const needed = parts.reduce((sum, part) => sum + part.length, 0);
    throw await explainWriteFailure(error, path, needed);
  }
}

/** Removes what writers of this folder left behind when they were killed. */
export async function removeStaleFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/\.\d+\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
  }
}

async function writeAll(handle: AtomicFileHandle, part: Uint8Array): Promise<void> {
  let done = 0;
  while (done < part.length) {
    const { bytesWritten } = await handle.write(part.subarray(done, done + pieceBytes));
    done += bytesWritten;
  }
}

/** Makes the rename itself durable; Windows has no such call and refuses it. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const outOfSpace = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A failed write in a user's words, where the user can do something about it. */
export async function explainWriteFailure(
  error: unknown,
  path: string,
  needed: number,
): Promise<unknown> {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (outOfSpace.has(code)) {
    const free = await freeBytes(dirname(path));
    const found = free === null ? '' : `, ${free} are free`;
    return new PlusxError(
      'disk-full',
      `${path}: the disk is full (${code}): ${needed} bytes are needed${found}; what was there ` +
        'before is untouched: free some space',
      { path, needed, free },
    );
  }
  if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') {
    return new PlusxError(
      'not-writable',
      `${path}: the folder cannot be written (${code}); choose another with --out`,
      { path },
    );
  }
  return error;
}

async function freeBytes(folder: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return null;
  }
}
