/**
 * A zip archive whose entries are stored as they are, each beginning at a multiple of 64 bytes, as
 * PyTorch writes them: whoever maps the file has aligned tensors. The same entries give the same
 * bytes; an entry's time is 1980's first day.
 *
 * Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16; PyTorch,
 * caffe2/serialize/inline_container.cc, for the alignment by an extra field "FB".
 */
import { crc32 } from './crc32.js';

export interface StoredEntry {
  /** ASCII. */
  readonly name: string;
  readonly data: Uint8Array;
}

/** Without the extension for more, offsets have 32 bits. */
export const maxZipBytes = 2 ** 32 - 1;

const alignment = 64;

const localHeaderBytes = 30;
const centralHeaderBytes = 46;
const endBytes = 22;
const extraHeaderBytes = 4;

interface Placed extends StoredEntry {
  /** Of the local header. */
  readonly offset: number;
  /** Of the extra field, its own header included. */
  readonly extraBytes: number;
  readonly checksum: number;
}

/** The archive as parts, one after the other; the entries' data are not copied. */
export function storedZip(entries: readonly StoredEntry[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const placed: Placed[] = [];
  let offset = 0;
  for (const { name, data } of entries) {
    const unaligned = offset + localHeaderBytes + name.length + extraHeaderBytes;
    const padding = (alignment - (unaligned % alignment)) % alignment;
    const extraBytes = extraHeaderBytes + padding;
    const entry = { name, data, offset, extraBytes, checksum: crc32(data) };
    placed.push(entry);
    parts.push(localHeader(entry), data);
    offset = unaligned + padding + data.length;
  }
  const directory = placed.map(centralHeader);
  const directoryBytes = directory.reduce((sum, { length }) => sum + length, 0);
  return [...parts, ...directory, endOfDirectory(placed.length, directoryBytes, offset)];
}

/** How many bytes `storedZip` makes at most. */
export function zipBytes(entries: readonly StoredEntry[]): number {
  const headers = localHeaderBytes + extraHeaderBytes + alignment + centralHeaderBytes;
  return entries.reduce((sum, { name, data }) => {
    return sum + headers + 2 * name.length + data.length;
  }, endBytes);
}

function localHeader({ name, data, extraBytes, checksum }: Placed): Uint8Array {
  const bytes = new Uint8Array(localHeaderBytes + name.length + extraBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x04034b50, true);
  writeDescription(view, 4, checksum, data.length, name.length);
  view.setUint16(28, extraBytes, true);
  writeAscii(bytes, localHeaderBytes, name);
  const extra = localHeaderBytes + name.length;
  writeAscii(bytes, extra, 'FB');
  view.setUint16(extra + 2, extraBytes - extraHeaderBytes, true);
  bytes.fill('Z'.charCodeAt(0), extra + extraHeaderBytes);
  return bytes;
}

function centralHeader({ name, data, offset, checksum }: Placed): Uint8Array {
  const bytes = new Uint8Array(centralHeaderBytes + name.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x02014b50, true);
  writeDescription(view, 6, checksum, data.length, name.length);
  view.setUint32(42, offset, true);
  writeAscii(bytes, centralHeaderBytes, name);
  return bytes;
}

/** What both headers say of an entry; left out, and so 0: flags, method "stored", time. */
function writeDescription(
  view: DataView,
  at: number,
  checksum: number,
  size: number,
  nameLength: number,
): void {
  const version = 10; // 1.0: stored entries need no more
  const firstOfJanuary1980 = (1 << 5) | 1;
  view.setUint16(at, version, true);
  view.setUint16(at + 8, firstOfJanuary1980, true);
  view.setUint32(at + 10, checksum, true);
  view.setUint32(at + 14, size, true);
  view.setUint32(at + 18, size, true);
  view.setUint16(at + 22, nameLength, true);
}

function endOfDirectory(entries: number, directoryBytes: number, offset: number): Uint8Array {
  const bytes = new Uint8Array(endBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(8, entries, true);
  view.setUint16(10, entries, true);
  view.setUint32(12, directoryBytes, true);
  view.setUint32(16, offset, true);
  return bytes;
}

function writeAscii(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
}
