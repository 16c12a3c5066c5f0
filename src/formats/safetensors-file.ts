/** Safetensors on disk: read tensor by tensor, written atomically. */
import { open, stat, type FileHandle } from 'node:fs/promises';
import { PlusxError } from '../errors.js';
import { writeFileAtomically, type AtomicFileSystem } from './atomic-file.js';
import {
  decodeTensor,
  encodeSafetensors,
  headerLength,
  parseHeader,
  prefixBytes,
  type SafeTensor,
  type Safetensors,
} from './safetensors.js';

/** Reads a file; throws PlusxError `checkpoint-…` naming it and what is wrong with it. */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const { handle, bytes } = await openFile(path);
  try {
    const prefix = await readAt(handle, 0, Math.min(prefixBytes, bytes));
    const length = headerLength(prefix, bytes, path);
    const dataStart = prefixBytes + length;
    const json = await readAt(handle, prefixBytes, length);
    const { entries, metadata } = parseHeader(json, bytes - dataStart, path);
    const tensors = new Map<string, SafeTensor>();
    for (const entry of entries) {
      const data = await readAt(handle, dataStart + entry.begin, entry.end - entry.begin);
      tensors.set(entry.key, decodeTensor(entry, data));
    }
    return { tensors, metadata };
  } finally {
    await handle.close();
  }
}

/** Replaces `path` at once, or leaves it as it is; throws as `writeFileAtomically`. */
export async function writeSafetensors(
  path: string,
  content: Safetensors,
  fileSystem?: AtomicFileSystem,
): Promise<void> {
  await writeFileAtomically(path, encodeSafetensors(content), fileSystem);
}

async function openFile(path: string): Promise<{ handle: FileHandle; bytes: number }> {
  try {
    const info = await stat(path);
    if (info.isFile()) return { handle: await open(path, 'r'), bytes: info.size };
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
