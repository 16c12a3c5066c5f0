/**
 * A download that is whole or not there: bytes are collected beside the file, an interruption leaves
 * them to be gone on with, and only what has the right checksum gets the file's name.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { PlusxError } from '../errors.js';
import { explainWriteFailure } from '../formats/atomic-file.js';

export interface Checksum {
  /** `git`: SHA-1 of `blob <size>`, a zero byte and the content. */
  readonly kind: 'sha256' | 'git';
  /** Hexadecimal. */
  readonly value: string;
}

export interface Download {
  readonly file: string;
  readonly size: number;
  readonly checksum: Checksum;
  /** The bytes from `start` on; requests go through `fetch`. */
  readonly open: (start: number, fetch: Fetch) => Promise<ReadableStream<Uint8Array>>;
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type Fetch = typeof globalThis.fetch;

/** Throws `hub-interrupted` where the connection ends early, `hub-checksum` where the content is another. */
export async function download(task: Download): Promise<void> {
  const partial = `${task.file}.partial`;
  const before = (await stat(partial).catch(() => null))?.size ?? 0;
  // Longer than it should be, it is of something else.
  if (before > task.size) await rm(partial);
  const start = before > task.size ? 0 : before;
  const hash = await hashOf(task, partial, start);
  if (start < task.size) await receive(task, partial, start, hash);
  const found = hash.digest('hex');
  if (found !== task.checksum.value) {
    await rm(partial, { force: true });
    throw new PlusxError(
      'hub-checksum',
      `${task.file}: what came has the checksum ${found}, the hub says ${task.checksum.value}; ` +
        'it was thrown away: run the command again',
      { found, expected: task.checksum.value },
    );
  }
  await rename(partial, task.file);
}

/** The checksum so far: of the bytes that an earlier try has left. */
async function hashOf({ checksum, size }: Download, partial: string, start: number): Promise<Hash> {
  const hash = createHash(checksum.kind === 'git' ? 'sha1' : 'sha256');
  if (checksum.kind === 'git') hash.update(`blob ${size}\0`);
  if (start > 0) for await (const piece of createReadStream(partial)) hash.update(piece as Buffer);
  return hash;
}

async function receive(task: Download, partial: string, start: number, hash: Hash): Promise<void> {
  const { size, onProgress, signal } = task;
  const stream = await task.open(start, partFetch(signal));
  const handle = await open(partial, start > 0 ? 'a' : 'w');
  let done = start;
  try {
    for await (const piece of stream) {
      // More than was announced is not kept, and fails by its checksum.
      await handle.appendFile(piece.subarray(0, size - done));
      hash.update(piece);
      done = Math.min(size, done + piece.length);
      onProgress?.(done, size);
    }
    await handle.sync();
  } catch (error) {
    throw await failure(error, task, done);
  } finally {
    await handle.close();
  }
  if (done < size) throw await failure(new Error('the connection ended'), task, done);
}

/** A server that ignores the range that was asked for would send the beginning again. */
function partFetch(signal: AbortSignal | undefined): Fetch {
  return async (input, init = {}) => {
    const response = await fetch(input, { ...init, ...(signal ? { signal } : {}) });
    const range = new Headers(init.headers).get('range');
    if (range === null || response.status !== 200) return response;
    await response.body?.cancel();
    throw new PlusxError(
      'hub-answer',
      `the hub answers with the whole file where ${range} was asked for, so that no download could be ` +
        'gone on with; let HF_ENDPOINT name another server',
    );
  };
}

async function failure(error: unknown, { file, size }: Download, done: number): Promise<unknown> {
  const explained = await explainWriteFailure(error, file, size - done);
  if (explained instanceof PlusxError) return explained;
  const reason = error instanceof Error ? error.message : String(error);
  return new PlusxError(
    'hub-interrupted',
    `${file}: the download broke off after ${done} of ${size} bytes (${reason}); they are kept: run ` +
      'the command again to go on',
    { done, size },
  );
}
