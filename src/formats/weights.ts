/**
 * Weights from any file: safetensors, PyTorch's zip format, its older one, and pickled dicts of numpy
 * arrays, told apart by what the file begins with, not by its name. Nothing in a file is executed.
 */
import { PlusxError } from '../errors.js';
import { withFile, type ByteSource } from './byte-source.js';
import { isFloat, toFloat32, type DType, type TensorData } from './dtype.js';
import { MemoryBudget, quoted } from './limits.js';
import { numpyElements } from './pickle/numpy.js';
import { NumpyArray, type TorchTensor } from './pickle/values.js';
import { openSafetensors } from './safetensors-file.js';
import { readArchive } from './torch/archive.js';
import { readPickled } from './torch/legacy.js';
import { gather, readTensor, type StorageReader } from './torch/tensors.js';
import { findStateDict } from './unwrap.js';

export type WeightFormat = 'safetensors' | 'pytorch-zip' | 'pytorch-legacy' | 'pickle';

/** A tensor that has not been read yet. */
export interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Row by row. */
  readonly read: () => Promise<TensorData>;
}

/** What a file holds, its tensors unread. */
export interface WeightFile {
  readonly file: string;
  readonly format: WeightFormat;
  /** Of the file. */
  readonly bytes: number;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Text beside the tensors. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The entry of the file that is read, `state_dict`; empty where it holds nothing else. */
  readonly entry: string;
  /** Other entries that hold tensors. */
  readonly otherEntries: readonly string[];
  /** Entries beside the tensors that are none. */
  readonly leftOut: readonly string[];
}

export interface WeightOptions {
  /** Which entry of a PyTorch file to read, for instance `ema`. Default: the weights. */
  readonly entry?: string | undefined;
}

export interface Weights extends Omit<WeightFile, 'tensors'> {
  /** By key as the file has it, in PyTorch's layout, float32. Counters (whole numbers) are left out. */
  readonly state: Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** What was done to read it, for people: `read "state_dict" of resnet20.th`. */
  readonly notes: readonly string[];
}

/**
 * Bytes that a byte of a file may become when it is read: tensors may share storages, strided ones
 * are gathered from what they span. As float32, halves become twice as many.
 */
const tensorFactor = 8;

/**
 * The weights of a file as float32: F64 and halves are converted, strided tensors made dense.
 * Throws PlusxError `checkpoint-…`, in particular `checkpoint-unsafe` where a pickle asks for
 * anything but tensors, numbers, text and containers of them.
 */
export async function readWeights(path: string, options: WeightOptions = {}): Promise<Weights> {
  return withFile(path, (source) => readWeightsFrom(source, options));
}

/** As `readWeights`, from bytes by position. */
export async function readWeightsFrom(
  source: ByteSource,
  options: WeightOptions = {},
): Promise<Weights> {
  const { tensors, ...about } = await openWeights(source, options);
  return { ...about, state: await readState(source.name, tensors), notes: notesOn(about) };
}

/** Reads tensors as float32. Whole numbers are counters (`num_batches_tracked`) and passed over. */
export async function readState(
  file: string,
  tensors: ReadonlyMap<string, StoredTensor>,
): Promise<Weights['state']> {
  const state: Weights['state'] = new Map();
  for (const [key, { dtype, shape, read }] of tensors) {
    if (isFloat(dtype)) state.set(key, { shape, data: toFloat32(dtype, await read()) });
  }
  if (state.size === 0) throw noWeights(file, tensors);
  return state;
}

/** What a file holds; calls of `use` may read its tensors until it ends. */
export async function withWeights<T>(
  path: string,
  use: (file: WeightFile) => Promise<T>,
  options: WeightOptions = {},
): Promise<T> {
  return withFile(path, async (source) => use(await openWeights(source, options)));
}

/** Tells the format and finds the tensors; none of them is read. */
export async function openWeights(
  source: ByteSource,
  { entry }: WeightOptions = {},
): Promise<WeightFile> {
  const head = await source.read(0, Math.min(source.length, 512));
  const common = { file: source.name, bytes: source.length };
  const format = formatOf(head, source);
  if (format === 'safetensors') {
    if (entry !== undefined) throw noEntries(source.name, entry);
    return {
      ...common,
      format,
      ...(await tensorsOf(source)),
      entry: '',
      otherEntries: [],
      leftOut: [],
    };
  }
  const archive = format === 'pytorch-zip' ? await readArchive(source) : null;
  const file = archive ?? (await readPickled(source));
  const found = findStateDict(file.root, source.name, entry);
  const budget = new MemoryBudget(source.name, source.length, tensorFactor);
  return {
    ...common,
    format: archive ? format : 'legacy' in file && file.legacy ? 'pytorch-legacy' : 'pickle',
    tensors: new Map(
      Array.from(found.tensors, ([key, tensor]) => [key, stored(tensor, file.storages, budget)]),
    ),
    metadata: found.metadata,
    entry: found.entry,
    otherEntries: found.others,
    leftOut: found.leftOut,
  };
}

async function tensorsOf(source: ByteSource) {
  const { entries, metadata, read } = await openSafetensors(source);
  const tensors = new Map<string, StoredTensor>();
  for (const entry of entries) {
    const { key, dtype, shape } = entry;
    tensors.set(key, { dtype, shape, read: async () => (await read(entry)).data });
  }
  return { tensors, metadata };
}

function stored(
  tensor: TorchTensor | NumpyArray,
  storages: StorageReader,
  budget: MemoryBudget,
): StoredTensor {
  const { dtype, shape } = tensor;
  const read = () =>
    tensor instanceof NumpyArray
      ? Promise.resolve(readNumpy(tensor, budget))
      : readTensor(tensor, storages, budget);
  return { dtype, shape, read };
}

function readNumpy(array: NumpyArray, budget: MemoryBudget): TensorData {
  budget.take(2 * array.bytes.length, 'a numpy array');
  const elements = numpyElements(array);
  if (!array.fortran) return elements;
  const dense = elements.slice();
  let stride = 1;
  const strides = array.shape.map((side) => (stride *= side) / side);
  gather(elements, dense, array.shape, strides);
  return dense;
}

/** What a file is by its first bytes; throws where it holds no weights that plusx reads. */
function formatOf(head: Uint8Array, source: ByteSource): 'safetensors' | 'pytorch-zip' | 'pickle' {
  const text = Buffer.from(head).toString('latin1');
  const json = text[8] === '{';
  // The length of a header may look like the beginning of a pickle
  if (json && Buffer.from(head).readBigUInt64LE() < BigInt(source.length)) return 'safetensors';
  if (text.startsWith('PK\x03\x04')) return 'pytorch-zip';
  // PROTO of protocols 2 to 5, or the dict of protocol 0
  if (/^(\x80[\x02-\x05]|\(d)/.test(text)) return 'pickle';
  if (json || head.length < 8) return 'safetensors';
  const [, what, next] = strangers.find(([pattern]) => pattern.test(text)) ?? [];
  throw new PlusxError(
    'checkpoint-format',
    `${source.name} ${what ?? 'is neither safetensors nor a file of PyTorch'}; ` +
      (next ?? 'name a .safetensors, .pth, .pt or .th file'),
    { file: source.name },
  );
}

/** Files that are taken for weights: the pattern, what it is, the next step. */
const strangers: readonly (readonly [RegExp, string, string])[] = [
  [
    /^version https:\/\/git-lfs/,
    'is a pointer of Git LFS, not the file itself',
    'fetch it with: git lfs pull',
  ],
  [/^\s*<(!doctype|html)/i, 'is a web page, not the file itself', 'download it again'],
  [
    /^\x08[\x01-\x20]\x12/,
    'is an ONNX model, which plusx writes and does not read',
    'name the checkpoint that it was made from',
  ],
  [/^\x1f\x8b/, 'is compressed with gzip', 'unpack it first: gunzip'],
  [/^\x89HDF/, 'is an HDF5 file (Keras)', 'convert it to safetensors where it was written'],
  [
    /^.{257}ustar/s,
    "is a tar archive, PyTorch's format before 0.1.10 or a packed folder",
    'unpack it, or load and save it again in PyTorch',
  ],
];

function notesOn({ file, entry, otherEntries, leftOut }: Omit<WeightFile, 'tensors'>): string[] {
  const notes: string[] = [];
  if (entry !== '') {
    const others = otherEntries.map(quoted).join(', ');
    notes.push(`read ${quoted(entry)} of ${file}${others === '' ? '' : `; it also has ${others}`}`);
  }
  if (leftOut.length > 0) {
    const shown = leftOut.slice(0, 3).map(quoted).join(', ');
    const more = leftOut.length > 3 ? ` and ${leftOut.length - 3} more` : '';
    notes.push(`left out what is no tensor: ${shown}${more}`);
  }
  return notes;
}

function noEntries(file: string, entry: string): PlusxError {
  return new PlusxError(
    'checkpoint-entry',
    `${file} is a safetensors file, which has no entries such as ${quoted(entry)}; leave it out`,
    { file, entry },
  );
}

function noWeights(file: string, tensors: ReadonlyMap<string, StoredTensor>): PlusxError {
  const dtypes = [...new Set(Array.from(tensors.values(), ({ dtype }) => dtype))].join(', ');
  return new PlusxError(
    'checkpoint-empty',
    `${file} holds no weights (${tensors.size} tensors${dtypes && ` of ${dtypes}`}, none of ` +
      'floating point); name a checkpoint of "plusx train", or a file of weights',
    { file },
  );
}
