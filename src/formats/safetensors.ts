/**
 * The safetensors format: 8 bytes of header length (little-endian), a JSON header, the tensors'
 * bytes. Own reader and writer of bytes; files are in `safetensors-file.ts`.
 *
 * As strict as huggingface/safetensors' own: offsets are contiguous from 0 to the end, sizes agree
 * with shapes, no key twice; the header at most 10 MB. Nothing in a file is ever executed.
 * Source: https://github.com/huggingface/safetensors (README, "Format").
 */
import { z } from 'zod';
import { PlusxError } from '../errors.js';
import { arrayTypes, elementBytes, elementsOf, isDType } from './dtype.js';
import type { DType, TensorData } from './dtype.js';
import { quoted } from './limits.js';

export interface SafeTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Dense, row-major. */
  readonly data: TensorData;
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, SafeTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Where a tensor's bytes lie, counted from the end of the header. */
export interface TensorEntry {
  readonly key: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  /** In order of their bytes. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes before the header. */
export const prefixBytes = 8;

/**
 * Bytes of a header, some 100,000 tensors. The format allows ten times as many; JSON of that size
 * would cost gigabytes of memory.
 */
export const maxHeaderBytes = 10_000_000;

const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});

const metadataSchema = z.record(z.string(), z.string());

/** The header's length from a file's first 8 bytes; `file` names it in errors. */
export function headerLength(prefix: Uint8Array, fileBytes: number, file: string): number {
  if (prefix.length < prefixBytes) {
    throw truncated(file, `a header length of ${prefixBytes} bytes`, fileBytes);
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefixBytes);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    throw malformed(
      file,
      `it announces a header of ${length} bytes, plusx reads up to ${maxHeaderBytes}`,
    );
  }
  if (Number(length) + prefixBytes > fileBytes) {
    throw truncated(file, `a header of ${length} bytes`, fileBytes);
  }
  return Number(length);
}

/** Parses and checks a header; `dataBytes` is what the file holds after it. */
export function parseHeader(header: Uint8Array, dataBytes: number, file: string): Header {
  const json = parseJson(header, file);
  let metadata: Record<string, string> = {};
  const entries: TensorEntry[] = [];
  for (const [key, value] of Object.entries(json)) {
    if (key === '__metadata__') {
      const parsed = metadataSchema.safeParse(value);
      if (!parsed.success) throw malformed(file, 'its __metadata__ holds other than strings');
      metadata = parsed.data;
    } else entries.push(parseEntry(key, value, file));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      throw malformed(
        file,
        `${quoted(entry.key)} begins at byte ${entry.begin} of the data, the tensor before ends at ${end}`,
      );
    }
    end = entry.end;
  }
  if (dataBytes < end) throw truncated(file, `${end} bytes of tensors`, dataBytes);
  if (dataBytes > end) {
    throw malformed(file, `its tensors end at byte ${end} of the data, the file has ${dataBytes}`);
  }
  return { entries, metadata };
}

/** A tensor from its bytes, which are used as they are where they are aligned. */
export function decodeTensor({ dtype, shape }: TensorEntry, bytes: Uint8Array): SafeTensor {
  return { dtype, shape, data: elementsOf(dtype, bytes) };
}

/** Reads a whole file that is in memory; `file` names it in errors. */
export function decodeSafetensors(bytes: Uint8Array, file: string): Safetensors {
  const length = headerLength(bytes.subarray(0, prefixBytes), bytes.length, file);
  const dataStart = prefixBytes + length;
  const header = parseHeader(
    bytes.subarray(prefixBytes, dataStart),
    bytes.length - dataStart,
    file,
  );
  const tensors = new Map<string, SafeTensor>();
  for (const entry of header.entries) {
    const part = bytes.subarray(dataStart + entry.begin, dataStart + entry.end);
    tensors.set(entry.key, decodeTensor(entry, part));
  }
  return { tensors, metadata: header.metadata };
}

/** A file as a list of parts: the header, padded to 8 bytes, then each tensor's bytes. */
export function encodeSafetensors({ tensors, metadata }: Safetensors): Uint8Array[] {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  // Wide elements first keeps every tensor aligned to its element, as the reference does.
  const ordered = [...tensors].sort(
    ([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT,
  );
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [key, { dtype, shape, data }] of ordered) {
    header[key] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset += data.byteLength;
  }
  const json = JSON.stringify(header);
  const length = Math.ceil(Buffer.byteLength(json) / 8) * 8;
  const head = new Uint8Array(prefixBytes + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  new TextEncoder().encodeInto(json, head.subarray(prefixBytes));
  return [head, ...parts];
}

function parseJson(header: Uint8Array, file: string): Record<string, unknown> {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(header);
    json = JSON.parse(text);
  } catch {
    throw malformed(file, 'it does not begin with a JSON header');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw malformed(file, 'its header is no JSON object');
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw malformed(file, `its header has the key ${quoted(twice)} twice`);
  return json as Record<string, unknown>;
}

/** The first key that stands twice in one object of valid JSON; JSON.parse would drop one. */
function duplicateKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  for (const [token, string, colon] of json.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}]/gs)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (string !== undefined && colon !== undefined) {
      const key = JSON.parse(string) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}

function parseEntry(key: string, value: unknown, file: string): TensorEntry {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue?.path.length ? ` (${issue.path.join('.')})` : '';
    throw malformed(file, `${quoted(key)} has no valid dtype, shape and data_offsets${where}`);
  }
  const { dtype, shape, data_offsets: offsets } = parsed.data;
  const [begin, end] = offsets;
  if (!isDType(dtype)) {
    throw new PlusxError(
      'checkpoint-dtype',
      `${file}: ${quoted(key)} has dtype ${quoted(dtype)}, plusx reads ${Object.keys(arrayTypes).join(', ')}; ` +
        'convert it to F32 where it was written',
      { file, key, dtype },
    );
  }
  const bytes = shape.reduce((a, b) => a * b, elementBytes(dtype));
  if (end - begin !== bytes) {
    throw malformed(
      file,
      `${quoted(key)} of dtype ${dtype} and shape [${shape.join(',')}] needs ${bytes} bytes, ` +
        `its data_offsets [${begin},${end}] hold ${end - begin}`,
    );
  }
  return { key, dtype, shape, begin, end };
}

function truncated(file: string, expected: string, found: number): PlusxError {
  return new PlusxError(
    'checkpoint-truncated',
    `${file} is truncated: it announces ${expected}, there are ${found}; ` +
      'copy it again, or take another checkpoint of the run',
    { file, expected, found },
  );
}

function malformed(file: string, reason: string): PlusxError {
  return new PlusxError(
    'checkpoint-malformed',
    `${file} is no valid safetensors file: ${reason}; name a file that "plusx train" or ` +
      'safetensors wrote',
    { file, reason },
  );
}
