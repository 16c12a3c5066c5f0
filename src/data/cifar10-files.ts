/**
 * The files of CIFAR-10. Binary: an image is a label and three planes of bytes. Python: pickled dicts,
 * of which only lists, text and arrays of bytes are taken; nothing in them is executed.
 */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { PlusxError } from '../errors.js';
import { withFile } from '../formats/byte-source.js';
import { Dict, NumpyArray, textOf, type PickleValue } from '../formats/pickle/values.js';
import { readPickle } from '../formats/torch/legacy.js';

/** Side of an image in pixels. */
export const cifarSize = 32;

export const imageBytes = cifarSize * cifarSize * 3;

const maxFileBytes = 512 * 2 ** 20;

/** What both forms hold. */
export interface Cifar10Batch {
  readonly labels: readonly number[];
  /** Of each image (3072): planes R, G, B. */
  readonly planes: readonly Uint8Array[];
}

/** A file `data_batch_1.bin`. */
export async function readBinary(file: string): Promise<Cifar10Batch> {
  const bytes = await readBytes(file);
  const record = 1 + imageBytes;
  if (bytes.length === 0 || bytes.length % record !== 0) {
    throw corrupt(
      file,
      `it has ${bytes.length} bytes, no whole number of images of ${record} bytes ` +
        '(a label, 32·32·3 pixels)',
    );
  }
  const count = bytes.length / record;
  return {
    labels: Array.from({ length: count }, (_, i) => bytes[i * record]!),
    planes: Array.from({ length: count }, (_, i) => {
      return bytes.subarray(i * record + 1, (i + 1) * record);
    }),
  };
}

/** The lines of `batches.meta.txt`. */
export async function readBinaryNames(file: string): Promise<string[]> {
  const text = (await readBytes(file)).toString('utf8');
  return text.split(/\r?\n/).filter((line) => line !== '');
}

async function readBytes(file: string): Promise<Buffer> {
  const { size } = statSync(file);
  if (size > maxFileBytes)
    throw corrupt(file, `it has ${size} bytes, the limit is ${maxFileBytes}`);
  return readFile(file);
}

/** A file `data_batch_1` or `test_batch`: `labels` (N) and `data` (N, 3072). */
export async function readPickled(file: string): Promise<Cifar10Batch> {
  const dict = await readDict(file);
  const [labels, data] = [dict.get('labels'), dict.get('data')];
  if (!isWhole(labels)) throw corrupt(file, 'its "labels" are no list of whole numbers');
  if (!(data instanceof NumpyArray) || data.dtype !== 'U8' || data.fortran) {
    throw corrupt(file, 'its "data" is no array of bytes, row by row');
  }
  const [count, width] = data.shape;
  if (data.shape.length !== 2 || width !== imageBytes || count !== labels.length || count === 0) {
    throw corrupt(
      file,
      `its "data" is [${data.shape.join(',')}] for ${labels.length} labels, ` +
        `[${labels.length},${imageBytes}] is expected`,
    );
  }
  return {
    labels,
    planes: labels.map((_, i) => data.bytes.subarray(i * imageBytes, (i + 1) * imageBytes)),
  };
}

/** The names of the classes in `batches.meta`. */
export async function readPickledNames(file: string): Promise<string[]> {
  const names = (await readDict(file)).get('label_names');
  if (!Array.isArray(names)) throw corrupt(file, 'it has no list "label_names"');
  return names.map((name) => {
    if (typeof name === 'string' || name instanceof Uint8Array) return textOf(name, 'a name');
    throw corrupt(file, 'one of its "label_names" is no text');
  });
}

async function readDict(file: string): Promise<Dict> {
  const value = await withFile(file, readPickle);
  if (value instanceof Dict) return value;
  throw corrupt(file, 'it holds no dict');
}

function isWhole(value: PickleValue | undefined): value is number[] {
  return (
    Array.isArray(value) && value.every((item) => Number.isInteger(item) && (item as number) >= 0)
  );
}

/** The error for a file that is there and is not what it should be. */
export function corrupt(file: string, reason: string): PlusxError {
  return new PlusxError(
    'cifar10-corrupt',
    `${file}: ${reason}; download CIFAR-10 again and compare its checksum`,
    { file, reason },
  );
}
