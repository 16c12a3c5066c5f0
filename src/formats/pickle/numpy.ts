/**
 * numpy's part of the allow-list: arrays, scalars and their dtypes, as `ndarray.__reduce__` and
 * `dtype.__reduce__` write them; and BUILD, which fills them in.
 */
import { elementBytes, elementsOf, swapBytes, type DType } from '../dtype.js';
import {
  Constructor,
  Dict,
  nameOf,
  NumpyArray,
  PickleFault,
  sizesOf,
  textOf,
  Tuple,
  type NumpyDType,
  type PickleValue,
} from './values.js';

/** numpy's names without the byte order. */
const dtypes: Readonly<Record<string, DType>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u8: 'U64',
  u4: 'U32',
  u2: 'U16',
  u1: 'U8',
  b1: 'BOOL',
};

const reconstruct = (args: readonly PickleValue[]): PickleValue => {
  if (args[0] instanceof Constructor && args[0].name === 'numpy.ndarray') return new NumpyArray();
  throw new PickleFault(`numpy reconstructs ${nameOf(args[0])}, not an array`);
};

const dtype = ([name]: readonly PickleValue[]): PickleValue => {
  const text = textOf(name, "a numpy dtype's name");
  const [, order, rest] = /^([<>|=]?)(\w{2})$/.exec(text) ?? [];
  const known = rest === undefined || !Object.hasOwn(dtypes, rest) ? undefined : dtypes[rest];
  if (known === undefined) {
    throw new PickleFault(
      `a numpy array has dtype "${text.slice(0, 40)}", plusx reads ${Object.keys(dtypes).join(', ')}`,
    );
  }
  return { kind: 'numpy dtype', dtype: known, bigEndian: order === '>' };
};

/** A numpy scalar is a plain number here. */
const scalar = ([type, bytes]: readonly PickleValue[]): PickleValue => {
  if (!isNumpyDType(type) || !(bytes instanceof Uint8Array)) {
    throw new PickleFault('a numpy scalar has no dtype and bytes');
  }
  const array = new NumpyArray();
  fill(array, [], type, false, bytes);
  const value = numpyElements(array)[0]!;
  if (type.dtype === 'BOOL') return value !== 0;
  return type.dtype === 'F16' ? Number.NaN : value;
};

const notCalled = (name: string) => (): PickleValue => {
  throw new PickleFault(`${name} is called`);
};

/** By Python's name. numpy 2 moved `core` to `_core`. */
export const numpyNames: ReadonlyMap<string, PickleValue> = new Map(
  (
    [
      ['numpy.core.multiarray._reconstruct', reconstruct],
      ['numpy._core.multiarray._reconstruct', reconstruct],
      ['numpy.core.multiarray.scalar', scalar],
      ['numpy._core.multiarray.scalar', scalar],
      ['numpy.dtype', dtype],
      ['numpy.ndarray', notCalled('numpy.ndarray')],
    ] as const
  ).map(([name, call]) => [name, new Constructor(name, call)]),
);

/** BUILD: the state of an array, of a dtype, or of an object that is nothing but attributes. */
export function setState(target: PickleValue, state: PickleValue): void {
  if (target instanceof NumpyArray && state instanceof Tuple) {
    const [, shape, type, fortran, bytes] = state.items;
    if (!isNumpyDType(type) || !(bytes instanceof Uint8Array)) {
      throw new PickleFault('a numpy array holds other than numbers');
    }
    fill(target, sizesOf(shape, "a numpy array's shape"), type, fortran === true, bytes);
  } else if (isNumpyDType(target) && state instanceof Tuple) {
    target.bigEndian = state.items[1] === '>' || isGreater(state.items[1]);
  } else if (!(target instanceof Dict)) {
    throw new PickleFault(`${nameOf(target)} is given a state`);
  }
  // The attributes of a dict (`_metadata` of a state dict) are no entries of it.
}

/** The elements of an array, row by row. */
export function numpyElements(array: NumpyArray) {
  const size = elementBytes(array.dtype);
  const bytes = array.bigEndian ? swapBytes(array.bytes, size) : array.bytes;
  return elementsOf(array.dtype, bytes);
}

function fill(
  array: NumpyArray,
  shape: readonly number[],
  type: NumpyDType,
  fortran: boolean,
  bytes: Uint8Array,
): void {
  const expected = shape.reduce((a, b) => a * b, elementBytes(type.dtype));
  if (bytes.length !== expected) {
    throw new PickleFault(
      `a numpy array of shape [${shape.join(',')}] and dtype ${type.dtype} needs ${expected} bytes, ` +
        `it has ${bytes.length}`,
    );
  }
  array.shape = shape;
  array.dtype = type.dtype;
  array.bigEndian = type.bigEndian;
  array.fortran = fortran && shape.length > 1;
  array.bytes = bytes;
}

function isNumpyDType(value: PickleValue | undefined): value is NumpyDType {
  return (
    typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'numpy dtype'
  );
}

const isGreater = (value: PickleValue | undefined) =>
  value instanceof Uint8Array && value.length === 1 && value[0] === 0x3e;
