/** Writes pickles opcode by opcode, and PyTorch's files around them, for files that no one saves. */
import { elementBytes, type DType } from '../../src/formats/dtype.js';

type Piece = string | Uint8Array | readonly Piece[];

const bytesOf = (piece: Piece): Uint8Array => {
  if (typeof piece === 'string') return Buffer.from(piece, 'latin1');
  return piece instanceof Uint8Array ? piece : Buffer.concat(piece.map(bytesOf));
};

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** Text. */
export const text = (value: string): Piece => {
  const bytes = Buffer.from(value);
  return ['X', uint32(bytes.length), bytes];
};

/** A whole number; beyond 32 bits as LONG1. */
export const int = (value: number): Piece => {
  if (value >= -(2 ** 31) && value < 2 ** 31) {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    return ['J', bytes];
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return ['\x8a\x08', bytes];
};

export const global = (module: string, name: string): Piece => `c${module}\n${name}\n`;
export const tuple = (...items: Piece[]): Piece => ['(', items, 't'];
export const call = (callee: Piece, ...args: Piece[]): Piece => [callee, tuple(...args), 'R'];
export const dict = (entries: readonly (readonly [Piece, Piece])[]): Piece => [
  '}(',
  entries.flat(),
  'u',
];

/** A pickle of protocol 2. */
export const pickle = (...value: Piece[]): Uint8Array => bytesOf(['\x80\x02', ...value, '.']);

const storageClasses: Partial<Record<DType, string>> = {
  F32: 'FloatStorage',
  F64: 'DoubleStorage',
  I64: 'LongStorage',
};

export interface TensorParts {
  readonly dtype?: DType;
  readonly key?: string;
  /** Elements of the storage. */
  readonly elements?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
}

/** A tensor of two numbers, but for what is said otherwise. */
export function tensor(parts: TensorParts = {}): Piece {
  const { dtype = 'F32', key = '0', elements = 2, offset = 0, shape = [2], strides = [1] } = parts;
  const storage = [
    tuple(
      text('storage'),
      global('torch', storageClasses[dtype]!),
      text(key),
      text('cuda:3'),
      int(elements),
    ),
    'Q',
  ];
  return call(
    global('torch._utils', '_rebuild_tensor_v2'),
    storage,
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    '\x89',
    call(global('collections', 'OrderedDict')),
  );
}

/** A legacy file: five pickles, then the storages. */
export function legacyFile(root: Piece, storages: Readonly<Record<string, Uint8Array>>, size = 4) {
  const magic = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex');
  const keys = Object.keys(storages);
  const system = dict([
    [text('protocol_version'), int(1001)],
    [text('little_endian'), '\x88'],
  ]);
  return Buffer.concat([
    pickle(magic),
    pickle(int(1001)),
    pickle(system),
    pickle(root),
    pickle('](', keys.map(text), 'e'),
    ...keys.flatMap((key) => {
      const count = Buffer.alloc(8);
      count.writeBigInt64LE(BigInt(storages[key]!.length / size));
      return [count, storages[key]!];
    }),
  ]);
}

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  /** What the directory says instead of the truth. */
  readonly says?: {
    readonly name?: string;
    readonly size?: number;
    readonly stored?: number;
    readonly method?: number;
    readonly flags?: number;
    readonly headerAt?: number;
  };
}

export interface ZipOptions {
  /** Sizes and places in zip64's fields. */
  readonly zip64?: boolean;
  readonly comment?: string;
  /** Of the directory's end: what it says instead of the truth. */
  readonly end?: { readonly entries?: number; readonly bytes?: number; readonly at?: number };
}

/** A zip archive, with lies where they are asked for. */
export function zipFile(parts: readonly ZipPart[], options: ZipOptions = {}): Uint8Array {
  const { zip64 = false, comment = '', end = {} } = options;
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, data, says = {} } of parts) {
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(Buffer.byteLength(name), 26);
    const known = Buffer.from(says.name ?? name);
    const [size, stored] = [says.size ?? data.length, says.stored ?? says.size ?? data.length];
    const headerAt = says.headerAt ?? at;
    const extra = zip64 ? Buffer.alloc(28) : Buffer.alloc(0);
    if (zip64) {
      extra.writeUInt16LE(1);
      extra.writeUInt16LE(24, 2);
      [size, stored, headerAt].forEach((v, i) => extra.writeBigUInt64LE(BigInt(v), 4 + 8 * i));
    }
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(says.flags ?? 0, 8);
    entry.writeUInt16LE(says.method ?? 0, 10);
    entry.writeUInt32LE(zip64 ? 0xffffffff : stored, 20);
    entry.writeUInt32LE(zip64 ? 0xffffffff : size, 24);
    entry.writeUInt16LE(known.length, 28);
    entry.writeUInt16LE(extra.length, 30);
    entry.writeUInt32LE(zip64 ? 0xffffffff : headerAt, 42);
    directory.push(entry, known, extra);
    pieces.push(local, Buffer.from(name), Buffer.from(data));
    at += 30 + Buffer.byteLength(name) + data.length;
  }
  const bytes = Buffer.concat(directory).length;
  const says = { entries: parts.length, bytes, at, ...end };
  const tail = Buffer.alloc(22);
  tail.writeUInt32LE(0x06054b50);
  tail.writeUInt16LE(zip64 ? 0xffff : says.entries, 10);
  tail.writeUInt32LE(zip64 ? 0xffffffff : says.bytes, 12);
  tail.writeUInt32LE(zip64 ? 0xffffffff : says.at, 16);
  tail.writeUInt16LE(comment.length, 20);
  const large = zip64 ? end64(says, at + bytes) : Buffer.alloc(0);
  return Buffer.concat([...pieces, ...directory, large, tail, Buffer.from(comment)]);
}

function end64(says: { entries: number; bytes: number; at: number }, recordAt: number): Buffer {
  const record = Buffer.alloc(56 + 20);
  record.writeUInt32LE(0x06064b50);
  record.writeBigUInt64LE(BigInt(says.entries), 32);
  record.writeBigUInt64LE(BigInt(says.bytes), 40);
  record.writeBigUInt64LE(BigInt(says.at), 48);
  record.writeUInt32LE(0x07064b50, 56);
  record.writeBigUInt64LE(BigInt(recordAt), 64);
  return record;
}

/** A PyTorch archive: the pickle, its storages, and more entries. */
export function torchZip(
  root: Piece,
  storages: Readonly<Record<string, Uint8Array>> = {},
  more: readonly ZipPart[] = [],
  options: ZipOptions = {},
): Uint8Array {
  return zipFile(
    [
      { name: 'archive/data.pkl', data: pickle(root) },
      ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
      ...more,
    ],
    options,
  );
}

export const zeros = (elements: number, dtype: DType = 'F32') =>
  new Uint8Array(elements * elementBytes(dtype));
