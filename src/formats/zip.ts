/**
 * A reader of zip archives as PyTorch writes them: entries are stored, not compressed, and are read
 * by position. Zip64 is understood, an entry that is encrypted or compressed is not read; no two may
 * have a name or a byte in common, so that all together are no larger than the file.
 * Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3.
 *
 * Checksums are passed over, as PyTorch does, which can be told to write none.
 */
import { PlusxError } from '../errors.js';
import type { ByteSource } from './byte-source.js';
import { quoted } from './limits.js';

export interface ZipEntry {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Why it is not read, null where it is stored as it is. */
  readonly unread: string | null;
  /** Where its local header lies. */
  readonly headerAt: number;
  /** The byte behind it: the next entry's header, or the directory. */
  readonly limit: number;
}

/** Bytes of a central directory; 400,000 entries of PyTorch's. */
const largestDirectory = 2 ** 25;

const signature = {
  local: 0x04034b50,
  entry: 0x02014b50,
  end: 0x06054b50,
  end64: 0x06064b50,
  locator64: 0x07064b50,
};

const endBytes = 22;
const end64Bytes = 56;
const locatorBytes = 20;
const entryBytes = 46;
const localBytes = 30;

export class ZipArchive {
  private constructor(
    private readonly source: ByteSource,
    readonly entries: ReadonlyMap<string, ZipEntry>,
  ) {}

  /** Reads the directory; throws PlusxError `checkpoint-malformed` or `checkpoint-truncated`. */
  static async open(source: ByteSource): Promise<ZipArchive> {
    const directory = await findDirectory(source);
    const bytes = await source.read(directory.at, directory.bytes);
    return new ZipArchive(source, readEntries(bytes, directory, source.name));
  }

  /** Bytes `begin` … `begin + length - 1` of an entry, which must lie inside. */
  async read(entry: ZipEntry, begin = 0, length = entry.size): Promise<Uint8Array> {
    const { source } = this;
    if (entry.unread !== null)
      throw malformedZip(source.name, `${quoted(entry.name)} ${entry.unread}`);
    const view = viewOf(await source.read(entry.headerAt, localBytes));
    if (view.getUint32(0, true) !== signature.local) {
      throw malformedZip(source.name, `${quoted(entry.name)} has no header at its place`);
    }
    const nameLength = view.getUint16(26, true);
    const at = entry.headerAt + localBytes + nameLength + view.getUint16(28, true);
    if (at + entry.size > entry.limit) {
      throw malformedZip(source.name, `${quoted(entry.name)} reaches into what follows it`);
    }
    const name = await source.read(entry.headerAt + localBytes, nameLength);
    if (Buffer.from(name).toString('utf8') !== entry.name) {
      throw malformedZip(source.name, `${quoted(entry.name)} has another name at its place`);
    }
    return source.read(at + begin, length);
  }
}

interface Directory {
  readonly at: number;
  readonly bytes: number;
  readonly entries: number;
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const { name } = source;
  const tailLength = Math.min(source.length, endBytes + 0xffff);
  const tail = await source.read(source.length - tailLength, tailLength);
  const view = viewOf(tail);
  let end = tailLength - endBytes;
  while (end >= 0 && !isEnd(view, end)) end--;
  if (end < 0) {
    throw new PlusxError(
      'checkpoint-truncated',
      `${name} is truncated: it begins as a zip archive and has no directory at its end ` +
        `(${source.length} bytes); copy it again`,
      { file: name, found: source.length },
    );
  }
  const endAt = source.length - tailLength + end;
  if (view.getUint16(end + 4, true) !== 0 || view.getUint16(end + 6, true) !== 0) {
    throw malformedZip(name, 'it is one part of several');
  }
  const entries = view.getUint16(end + 10, true);
  const bytes = view.getUint32(end + 12, true);
  const at = view.getUint32(end + 16, true);
  const large = entries === 0xffff || bytes === 0xffffffff || at === 0xffffffff;
  const directory = large ? await findDirectory64(source, endAt) : { at, bytes, entries };
  if (directory.at + directory.bytes > endAt) {
    throw malformedZip(name, 'its directory reaches beyond its end');
  }
  if (directory.bytes > largestDirectory || directory.entries * entryBytes > directory.bytes) {
    throw malformedZip(
      name,
      `its directory of ${directory.bytes} bytes announces ${directory.entries} entries`,
    );
  }
  return directory;
}

/** The comment behind the record of the end is as long as it says. */
function isEnd(view: DataView, at: number): boolean {
  if (view.getUint32(at, true) !== signature.end) return false;
  return at + endBytes + view.getUint16(at + 20, true) === view.byteLength;
}

async function findDirectory64(source: ByteSource, endAt: number): Promise<Directory> {
  const fault = malformedZip(source.name, 'its zip64 directory is not where it should be');
  if (endAt < locatorBytes) throw fault;
  const locator = viewOf(await source.read(endAt - locatorBytes, locatorBytes));
  if (locator.getUint32(0, true) !== signature.locator64) throw fault;
  const at = integer64(locator, 8);
  if (at + end64Bytes > endAt - locatorBytes) throw fault;
  const end = viewOf(await source.read(at, end64Bytes));
  if (end.getUint32(0, true) !== signature.end64) throw fault;
  return { entries: integer64(end, 32), bytes: integer64(end, 40), at: integer64(end, 48) };
}

/** An entry, and the byte behind the least that it takes. */
type Found = Omit<ZipEntry, 'limit'> & { readonly least: number };

function readEntries(bytes: Uint8Array, directory: Directory, file: string) {
  const view = viewOf(bytes);
  const found: Found[] = [];
  let at = 0;
  for (let i = 0; i < directory.entries; i++) {
    if (at + entryBytes > bytes.length || view.getUint32(at, true) !== signature.entry) {
      throw malformedZip(file, `its directory ends after ${i} of ${directory.entries} entries`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + entryBytes + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) throw malformedZip(file, 'its directory reaches beyond itself');
    const nameAt = at + entryBytes;
    const name = Buffer.from(bytes.subarray(nameAt, nameAt + nameLength)).toString('utf8');
    expectHarmless(name, file);
    const extra = bytes.subarray(nameAt + nameLength, nameAt + nameLength + extraLength);
    const { size, stored, headerAt } = sizesOf(view, at, extra);
    const encrypted = (view.getUint16(at + 8, true) & 1) !== 0;
    const compressed = view.getUint16(at + 10, true) !== 0 || size !== stored;
    const unread = encrypted
      ? 'is encrypted'
      : compressed
        ? `is compressed (${stored} bytes for ${size}), which PyTorch does with no weights`
        : null;
    const least = headerAt + localBytes + nameLength + stored;
    found.push({ name, size, unread, headerAt, least });
    at = next;
  }
  return apart(found, directory.at, file);
}

/** Sizes and place of the entry at byte `at`; those of zip64 stand in its extra field. */
function sizesOf(view: DataView, at: number, extra: Uint8Array) {
  const fields = {
    size: view.getUint32(at + 24, true),
    stored: view.getUint32(at + 20, true),
    headerAt: view.getUint32(at + 42, true),
  };
  const extraView = viewOf(extra);
  let field = 0;
  while (field + 4 <= extra.length) {
    const length = extraView.getUint16(field + 2, true);
    const end = Math.min(field + 4 + length, extra.length);
    if (extraView.getUint16(field, true) === 1) {
      let value = field + 4;
      for (const key of ['size', 'stored', 'headerAt'] as const) {
        if (fields[key] !== 0xffffffff || value + 8 > end) continue;
        fields[key] = integer64(extraView, value);
        value += 8;
      }
    }
    field = end;
  }
  return fields;
}

/** The entries by name; throws where two have a name or a byte in common. */
function apart(found: Found[], directoryAt: number, file: string): Map<string, ZipEntry> {
  found.sort((a, b) => a.headerAt - b.headerAt);
  const entries = new Map<string, ZipEntry>();
  for (const [i, { least, ...entry }] of found.entries()) {
    const { name } = entry;
    const limit = found[i + 1]?.headerAt ?? directoryAt;
    if (least > limit) {
      const other = found[i + 1] ? quoted(found[i + 1]!.name) : 'its directory';
      throw malformedZip(file, `${quoted(name)} and ${other} overlap`);
    }
    if (entries.has(name)) throw malformedZip(file, `it has ${quoted(name)} twice`);
    entries.set(name, { ...entry, limit });
  }
  return entries;
}

/** Nothing is ever unpacked; a name that would lead out of a folder is refused all the same. */
function expectHarmless(name: string, file: string): void {
  const leadsOut =
    name === '' ||
    /^[/\\]|^[a-zA-Z]:|\\|\0/.test(name) ||
    name.split('/').some((part) => part === '..' || part === '.');
  if (leadsOut) throw malformedZip(file, `the name ${quoted(name)} leads out of the archive`);
}

function malformedZip(file: string, reason: string): PlusxError {
  return new PlusxError(
    'checkpoint-malformed',
    `${file} is no archive that PyTorch writes: ${reason}; copy it again, or save it again in ` +
      'PyTorch: torch.save(model.state_dict(), "weights.pth")',
    { file, reason },
  );
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** No file is as long as 2^53 bytes: larger numbers are refused as beyond its end. */
function integer64(view: DataView, at: number): number {
  return Math.min(Number(view.getBigUint64(at, true)), Number.MAX_SAFE_INTEGER);
}
