/**
 * What a pickle can hold here. Every value is inert data: lists are arrays, and what Python would
 * build by calling something is one of these classes or an error.
 */
import type { DType } from '../dtype.js';
import { quoted } from '../limits.js';

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Tuple
  | Dict
  | Constructor
  | DTypeValue
  | TorchStorage
  | TorchTensor
  | NumpyDType
  | NumpyArray;

export class Tuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** A dict, an OrderedDict, or an object that is nothing but its attributes. */
export class Dict {
  /** Keys that Python's byte strings were are text here. */
  readonly entries = new Map<PickleValue, PickleValue>();

  get(key: string): PickleValue | undefined {
    return this.entries.get(key);
  }
}

/**
 * Builds inert data; throws `PickleFault` where the arguments are none of its own. What it copies
 * it announces to `charge`, in bytes: a pickle may hand over the same large value many times.
 */
export type Call = (args: readonly PickleValue[], charge: Charge) => PickleValue;

export type Charge = (bytes: number) => void;

/** A name that a pickle may ask for, and what stands for calling it. */
export class Constructor {
  constructor(
    /** As Python knows it: `torch._utils._rebuild_tensor_v2`. */
    readonly name: string,
    readonly call: Call,
    /** Of a storage class: what its bytes are; null where the tensor says it. */
    readonly dtype?: DType | null,
  ) {}
}

/** `torch.float32`. */
export class DTypeValue {
  constructor(readonly dtype: DType) {}
}

/** Numbers that lie elsewhere in the file; what reads the file knows where. */
export interface TorchStorage {
  readonly kind: 'storage';
  readonly key: string;
  /** Null: bytes, the tensor says of what. */
  readonly dtype: DType | null;
  /** Elements of the whole storage, bytes where `dtype` is null. */
  readonly elements: number;
  /** A storage may be a view into that of `key`: its first element there, and how many it has. */
  readonly viewBegin: number;
  readonly viewElements: number;
}

/** Element (i, j, …) lies at offset + i·strides[0] + j·strides[1] + … of its storage's view. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly dtype: DType,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

export interface NumpyDType {
  readonly kind: 'numpy dtype';
  readonly dtype: DType;
  bigEndian: boolean;
}

/** Dense; its bytes are a part of the pickle. */
export class NumpyArray {
  shape: readonly number[] = [];
  dtype: DType = 'U8';
  /** Column by column instead of row by row. */
  fortran = false;
  bigEndian = false;
  bytes: Uint8Array = new Uint8Array(0);
}

/** A pickle asks for what it must not or says what makes no sense; the reader adds file and place. */
export class PickleFault extends Error {
  constructor(
    readonly reason: string,
    /** The name asked for, where it is one that is not built. */
    readonly asksFor?: string,
  ) {
    super(reason);
  }
}

/** Adds to a dict what it does not have yet. */
export function setItem(dict: Dict, key: PickleValue, value: PickleValue): void {
  const name = key instanceof Uint8Array ? textOf(key, 'a key') : key;
  if (dict.entries.has(name)) {
    const shown = typeof name === 'string' ? quoted(name) : nameOf(name);
    throw new PickleFault(`a dict has the key ${shown} twice`);
  }
  dict.entries.set(name, value);
}

/** Bytes of the longest byte string that is taken for text. */
export const longestText = 2 ** 16;

/** The same bytes may be asked for their text many times. */
const texts = new WeakMap<Uint8Array, string>();

/** Text, which Python 2 wrote as bytes. */
export function textOf(value: PickleValue | undefined, what: string): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array && value.length <= longestText) {
    const known = texts.get(value);
    if (known !== undefined) return known;
    const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString('utf8');
    texts.set(value, text);
    return text;
  }
  throw new PickleFault(`${what} is ${nameOf(value)}, not text`);
}

/** A whole number from 0 to 2^53 - 1. */
export function sizeOf(value: PickleValue | undefined, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  const shown = typeof value === 'number' || typeof value === 'bigint' ? String(value) : null;
  throw new PickleFault(`${what} is ${shown ?? nameOf(value)}, not a whole number of at least 0`);
}

/** A tuple or list of whole numbers; at most as many as a tensor has dimensions. */
export function sizesOf(value: PickleValue | undefined, what: string): readonly number[] {
  const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : null;
  if (!items) throw new PickleFault(`${what} is ${nameOf(value)}, not a tuple`);
  if (items.length > 64) throw new PickleFault(`${what} has ${items.length} dimensions`);
  return items.map((item) => sizeOf(item, what));
}

/** What a value is, for people. */
export function nameOf(value: PickleValue | undefined): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'None';
  if (typeof value === 'boolean') return 'a bool';
  if (typeof value === 'string') return 'text';
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number';
  if (value instanceof Uint8Array) return 'bytes';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Tuple) return 'a tuple';
  if (value instanceof Dict) return 'a dict';
  if (value instanceof TorchTensor) return 'a tensor';
  if (value instanceof NumpyArray) return 'a numpy array';
  if (value instanceof Constructor) return value.name;
  if (value instanceof DTypeValue) return 'a dtype';
  return `a ${value.kind}`;
}
