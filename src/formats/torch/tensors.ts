/** Tensors of a PyTorch file: parts of storages, brought into one row-major piece when read. */
import { PlusxError } from '../../errors.js';
import { arrayTypes, elementBytes, elementsOf, swapBytes, type TensorData } from '../dtype.js';
import { quoted, type MemoryBudget } from '../limits.js';
import type { TorchStorage, TorchTensor } from '../pickle/values.js';

/** How the storages of a file are read. */
export interface StorageReader {
  readonly bigEndian: boolean;
  /** Bytes `begin` … `begin + length - 1` of the storage `key`, the whole of it, not the view. */
  readonly read: (storage: TorchStorage, begin: number, length: number) => Promise<Uint8Array>;
}

/** The elements of a tensor, row by row; only those bytes are read that it spans. */
export async function readTensor(
  { storage, dtype, offset, shape, strides }: TorchTensor,
  { bigEndian, read }: StorageReader,
  budget: MemoryBudget,
): Promise<TensorData> {
  const count = shape.reduce((a, b) => a * b, 1);
  if (count === 0) return new arrayTypes[dtype](0);
  const size = elementBytes(dtype);
  const span = shape.reduce((sum, length, i) => sum + (length - 1) * strides[i]!, 1);
  budget.take(size * span, 'a tensor');
  const viewBegin = storage.viewBegin * (storage.dtype === null ? 1 : size);
  const bytes = await read(storage, viewBegin + offset * size, span * size);
  const elements = elementsOf(dtype, bigEndian ? swapBytes(bytes, size) : bytes);
  if (isDense(shape, strides)) return elements;
  budget.take(size * count, 'a tensor');
  const dense = new arrayTypes[dtype](count);
  gather(elements, dense, shape, strides);
  return dense;
}

/** Whether row-major order is the order of memory; sides of 1 have no say. */
function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/** dense[i, j, …] = elements[i·strides[0] + j·strides[1] + …] */
export function gather(
  elements: TensorData,
  dense: TensorData,
  shape: readonly number[],
  strides: readonly number[],
): void {
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < dense.length; to++) {
    dense[to] = elements[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= index[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}

/** A storage whose size in the file is not what the pickle says. */
export function storageSize(file: string, key: string, expected: number, found: number) {
  return new PlusxError(
    'checkpoint-malformed',
    `${file}: its pickle announces ${expected} bytes for the storage ${quoted(key)}, the file has ` +
      `${found}; copy it again, or save it again in PyTorch`,
    { file, key, expected, found },
  );
}
