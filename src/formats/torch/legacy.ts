/**
 * PyTorch's format before 1.6, and any other pickle: five pickles one after the other (a magic
 * number, the protocol, the system, the object, the keys of its storages), then the storages, each
 * as its count of elements in 8 bytes and the elements, little-endian.
 * Source: torch/serialization.py (`_legacy_save`, `_legacy_load`).
 */
import { PlusxError } from '../../errors.js';
import type { ByteSource } from '../byte-source.js';
import { elementBytes } from '../dtype.js';
import { quoted } from '../limits.js';
import { malformedPickle, unpickle } from '../pickle/machine.js';
import {
  Dict,
  longestText,
  textOf,
  type PickleValue,
  type TorchStorage,
} from '../pickle/values.js';
import { largestPickle, type TorchFile } from './archive.js';
import { storageOf, weightNames } from './names.js';
import { storageSize } from './tensors.js';

const magicNumber = 0x1950a86a20f9469cfc6cn;
const protocolVersion = 1001;

/** Bytes that are read first of a file whose pickles say where they end. */
const firstWindow = 2 ** 20;

/** `legacy` is false where the file is a pickle by itself, which has no storages. */
export async function readPickled(
  source: ByteSource,
): Promise<TorchFile & { readonly legacy: boolean }> {
  const head = await readHead(source);
  const places = await findStorages(source, head);
  const read = (storage: TorchStorage, begin: number, length: number) => {
    const place = places.get(storage.key)!;
    return source.read(place + begin, length);
  };
  return { root: head.root, legacy: head.legacy, storages: { bigEndian: false, read } };
}

/** The value of a file that is one pickle, such as a batch of CIFAR-10; executes nothing. */
export async function readPickle(source: ByteSource): Promise<PickleValue> {
  return growing(source, (bytes) => {
    return unpickle(bytes, 0, { file: source.name, names: weightNames }).value;
  });
}

interface Head {
  readonly root: PickleValue;
  readonly legacy: boolean;
  /** In the order of the file. */
  readonly keys: readonly string[];
  readonly storages: ReadonlyMap<string, TorchStorage>;
  /** Where the first storage begins. */
  readonly end: number;
}

function readHead(source: ByteSource): Promise<Head> {
  const file = source.name;
  return growing(source, (bytes) => {
    const storages = new Map<string, TorchStorage>();
    const persistent = (id: PickleValue) => remember(storages, storageOf(id), file);
    let at = 0;
    const next = () => {
      const { value, end } = unpickle(bytes, at, { file, names: weightNames, persistent });
      at = end;
      return value;
    };
    const first = next();
    if (first !== magicNumber) return { root: first, legacy: false, keys: [], storages, end: at };
    const protocol = next();
    if (protocol !== protocolVersion) {
      throw malformedPickle(file, `its protocol is not ${protocolVersion}`);
    }
    const system = next();
    if (!(system instanceof Dict) || system.get('little_endian') !== true) {
      throw malformedPickle(file, 'it was not written on a little-endian machine');
    }
    const root = next();
    const keys = next();
    if (!Array.isArray(keys)) throw malformedPickle(file, 'it has no list of storages');
    return { root, legacy: true, keys: keys.map((key) => keyOf(key, file)), storages, end: at };
  });
}

/** Parses the beginning of a file, more of it where that was not enough. */
async function growing<T>(source: ByteSource, parse: (bytes: Uint8Array) => T): Promise<T> {
  const most = Math.min(source.length, largestPickle);
  for (let length = firstWindow; ; length *= 4) {
    const bytes = await source.read(0, Math.min(length, most));
    try {
      return parse(bytes);
    } catch (error) {
      const short = error instanceof PlusxError && error.code === 'checkpoint-truncated';
      if (!short || most === source.length) {
        if (!short || length >= most) throw error;
      } else if (length >= most) throw tooLong(source.name);
    }
  }
}

function tooLong(file: string): PlusxError {
  return malformedPickle(file, `it has more than the ${largestPickle} bytes that plusx reads`);
}

function remember(known: Map<string, TorchStorage>, storage: TorchStorage, file: string) {
  const { key, dtype, elements } = storage;
  const before = known.get(key);
  if (before && (before.dtype !== dtype || before.elements !== elements)) {
    throw malformedPickle(file, `the storage ${quoted(key)} has two sizes or two types`);
  }
  known.set(key, storage);
  return storage;
}

/** The first byte of each storage; every one that a tensor needs is there, with the size it says. */
async function findStorages(
  source: ByteSource,
  { keys, storages, end }: Head,
): Promise<Map<string, number>> {
  const file = source.name;
  const places = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = storages.get(key);
    if (!storage) throw malformedPickle(file, `no tensor uses the storage ${quoted(key)}`);
    if (places.has(key)) throw malformedPickle(file, `the storage ${quoted(key)} is there twice`);
    const size = storage.dtype === null ? 1 : elementBytes(storage.dtype);
    const bytes = storage.elements * size;
    const found = source.length - at - 8;
    if (found < bytes) {
      throw new PlusxError(
        'checkpoint-truncated',
        `${file} is truncated: its storage ${quoted(key)} needs ${bytes} bytes, there are ` +
          `${Math.max(0, found)}; copy it again`,
        { file, expected: bytes, found },
      );
    }
    const count = Buffer.from(await source.read(at, 8)).readBigInt64LE();
    if (count !== BigInt(storage.elements)) {
      throw storageSize(file, key, bytes, Number(count) * size);
    }
    places.set(key, at + 8);
    at += 8 + bytes;
  }
  for (const key of storages.keys()) {
    if (!places.has(key)) throw malformedPickle(file, `the file has no storage ${quoted(key)}`);
  }
  return places;
}

function keyOf(value: PickleValue, file: string): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array && value.length <= longestText) return textOf(value, 'a key');
  throw malformedPickle(file, 'its list of storages holds other than text');
}
