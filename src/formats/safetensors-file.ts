/** Safetensors on disk: read tensor by tensor, written atomically. */
import { writeFileAtomically, type AtomicFileSystem } from './atomic-file.js';
import { withFile, type ByteSource } from './byte-source.js';
import {
  decodeTensor,
  encodeSafetensors,
  headerLength,
  parseHeader,
  prefixBytes,
  type Header,
  type SafeTensor,
  type Safetensors,
  type TensorEntry,
} from './safetensors.js';

/** Reads a file; throws PlusxError `checkpoint-…` naming it and what is wrong with it. */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return withFile(path, async (source) => {
    const { metadata, entries, read } = await openSafetensors(source);
    const tensors = new Map<string, SafeTensor>();
    for (const entry of entries) tensors.set(entry.key, await read(entry));
    return { tensors, metadata };
  });
}

/** The header of a file, and how its tensors are read one by one. */
export async function openSafetensors(
  source: ByteSource,
): Promise<Header & { readonly read: (entry: TensorEntry) => Promise<SafeTensor> }> {
  const { name, length: fileBytes } = source;
  const prefix = await source.read(0, Math.min(prefixBytes, fileBytes));
  const length = headerLength(prefix, fileBytes, name);
  const dataStart = prefixBytes + length;
  const json = await source.read(prefixBytes, length);
  const header = parseHeader(json, fileBytes - dataStart, name);
  const read = async (entry: TensorEntry) => {
    const data = await source.read(dataStart + entry.begin, entry.end - entry.begin);
    return decodeTensor(entry, data);
  };
  return { ...header, read };
}

/** Replaces `path` at once, or leaves it as it is; throws as `writeFileAtomically`. */
export async function writeSafetensors(
  path: string,
  content: Safetensors,
  fileSystem?: AtomicFileSystem,
): Promise<void> {
  await writeFileAtomically(path, encodeSafetensors(content), fileSystem);
}
