/** Types of numbers in files, by safetensors' names, and their conversion to float32. */

import { fromBfloat16 } from '../graph/bfloat16.js';

/** What holds a dtype's elements; of half and bfloat16 the bits. */
export const arrayTypes = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
  U16: Uint16Array,
  U32: Uint32Array,
  U64: BigUint64Array,
} as const;

/** The dtypes that are read; files may hold others, which are refused by name. */
export type DType = keyof typeof arrayTypes;

export type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

export function isDType(name: string): name is DType {
  return Object.hasOwn(arrayTypes, name);
}

export const elementBytes = (dtype: DType): number => arrayTypes[dtype].BYTES_PER_ELEMENT;

/** Whether a dtype is one that weights are stored in; whole numbers are counters. */
export const isFloat = (dtype: DType): boolean =>
  dtype === 'F64' || dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';

/** The elements of bytes, which are used as they are where they are aligned. */
export function elementsOf(dtype: DType, bytes: Uint8Array): TensorData {
  const ArrayType = arrayTypes[dtype];
  const size = ArrayType.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new ArrayType(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.length / size);
}

/** Elements stored with the other end first, in this machine's order; a copy. */
export function swapBytes(bytes: Uint8Array, size: number): Uint8Array {
  const swapped = Buffer.from(bytes);
  if (size === 2) swapped.swap16();
  else if (size === 4) swapped.swap32();
  else if (size === 8) swapped.swap64();
  return swapped;
}

/** Float32 values of floating-point elements: exact, but for float64, which is rounded. */
export function toFloat32(dtype: DType, data: TensorData): Float32Array {
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array) return Float32Array.from(data);
  if (dtype === 'BF16') return fromBfloat16(data as Uint16Array);
  if (dtype === 'F16') return fromHalf(data as Uint16Array);
  throw new Error(`internal: ${dtype} is no floating-point type`);
}

/** IEEE 754 binary16: 1 sign bit, 5 of the exponent (bias 15), 10 of the fraction. */
function fromHalf(data: Uint16Array): Float32Array {
  const values = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const bits = data[i]!;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    let value: number;
    if (exponent === 31) value = fraction === 0 ? Infinity : NaN;
    else if (exponent === 0) value = fraction * 2 ** -24;
    else value = (1024 + fraction) * 2 ** (exponent - 25);
    values[i] = bits & 0x8000 ? -value : value;
  }
  return values;
}
