/** Bytes by position, from a file or from memory: formats read what they need and no more. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { PlusxError } from '../errors.js';

export interface ByteSource {
  /** What errors call it: the path of the file. */
  readonly name: string;
  /** In bytes. */
  readonly length: number;
  /** Bytes `position` … `position + length - 1`, which must lie inside. */
  readonly read: (position: number, length: number) => Promise<Uint8Array>;
}

export function memorySource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    length: bytes.length,
    read: (position, length) => {
      const end = position + length;
      if (position >= 0 && length >= 0 && end <= bytes.length) {
        return Promise.resolve(bytes.subarray(position, end));
      }
      return Promise.reject(new Error(`internal: bytes ${position} to ${end} of ${bytes.length}`));
    },
  };
}

/** Opens `path` for as long as `use` runs; throws PlusxError where it is no file to be read. */
export async function withFile<T>(
  path: string,
  use: (source: ByteSource) => Promise<T>,
): Promise<T> {
  const { handle, length } = await openFile(path);
  try {
    return await use({
      name: path,
      length,
      read: (position, count) => readAt(handle, position, count),
    });
  } finally {
    await handle.close();
  }
}

async function openFile(path: string): Promise<{ handle: FileHandle; length: number }> {
  try {
    const info = await stat(path);
    if (info.isFile()) return { handle: await open(path, 'r'), length: info.size };
    throw new PlusxError(
      'checkpoint-not-a-file',
      `${path} is no file; name a checkpoint, for instance ${path}/best.safetensors`,
      { path },
    );
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new PlusxError(
        'checkpoint-not-found',
        `${path}: there is no such checkpoint; "plusx train" writes best.safetensors and ` +
          'last.safetensors into its run folder',
        { path },
      );
    }
    if (code === 'EACCES') {
      throw new PlusxError(
        'checkpoint-unreadable',
        `${path} cannot be read (EACCES); change its permissions`,
        { path },
      );
    }
    throw error;
  }
}

/** `length` bytes at `position`; fewer only where the file shrinks meanwhile. */
async function readAt(handle: FileHandle, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw new Error(`internal: ${length - done} bytes vanished while reading`);
    done += bytesRead;
  }
  return bytes;
}
