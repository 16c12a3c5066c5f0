/**
 * PyTorch's zip format (since 1.6): `<folder>/data.pkl` is a pickle whose storages are the entries
 * `<folder>/data/<key>`, in the byte order that `<folder>/byteorder` names.
 * Source: torch/serialization.py (`_save`), caffe2/serialize/inline_container.h.
 */
import { PlusxError } from '../../errors.js';
import type { ByteSource } from '../byte-source.js';
import { elementBytes } from '../dtype.js';
import { quoted } from '../limits.js';
import { malformedPickle, unpickle } from '../pickle/machine.js';
import type { PickleValue, TorchStorage } from '../pickle/values.js';
import { ZipArchive } from '../zip.js';
import { storageOf, weightNames } from './names.js';
import { storageSize, type StorageReader } from './tensors.js';

/** A pickled object and the way to its storages. */
export interface TorchFile {
  readonly root: PickleValue;
  readonly storages: StorageReader;
}

/** Bytes of the pickle alone, without the tensors' numbers. */
export const largestPickle = 2 ** 28;

export async function readArchive(source: ByteSource): Promise<TorchFile> {
  const zip = await ZipArchive.open(source);
  const file = source.name;
  const folder = findFolder([...zip.entries.keys()], file);
  const pickle = zip.entries.get(`${folder}data.pkl`)!;
  if (pickle.size > largestPickle) {
    throw malformedPickle(file, `it has ${pickle.size} bytes, plusx reads up to ${largestPickle}`);
  }
  const bytes = await zip.read(pickle);
  const { value } = unpickle(bytes, 0, { file, names: weightNames, persistent: storageOf });
  const bigEndian = (await readByteOrder(zip, folder, file)) === 'big';
  const read = async (storage: TorchStorage, begin: number, length: number) => {
    const entry = zip.entries.get(`${folder}data/${storage.key}`);
    if (!entry) {
      throw malformedPickle(file, `the archive has no storage ${quoted(storage.key)}`);
    }
    const expected = storage.elements * (storage.dtype === null ? 1 : elementBytes(storage.dtype));
    if (entry.size !== expected) throw storageSize(file, storage.key, expected, entry.size);
    return zip.read(entry, begin, length);
  };
  return { root: value, storages: { bigEndian, read } };
}

/** The folder of data.pkl, with its slash; throws where the archive holds something else. */
function findFolder(names: readonly string[], file: string): string {
  const pickles = names.filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const folder = pickles[0]?.slice(0, -'data.pkl'.length);
  if (names.some((name) => /^[^/]+\/(constants\.pkl|code\/|models\/|data\/weights\/)/.test(name))) {
    throw new PlusxError(
      'checkpoint-program',
      `${file} is an exported program (TorchScript or torch.export), not a file of weights; save ` +
        'its tensors in PyTorch: torch.save(torch.jit.load(path).state_dict(), "weights.pth")',
      { file },
    );
  }
  if (folder === undefined || pickles.length > 1) {
    throw new PlusxError(
      'checkpoint-format',
      `${file} is a zip archive with ${pickles.length === 0 ? 'no' : 'more than one'} data.pkl in ` +
        'it, so PyTorch did not write it; name a .pth, .pt or .safetensors file',
      { file },
    );
  }
  return folder;
}

async function readByteOrder(zip: ZipArchive, folder: string, file: string): Promise<string> {
  const entry = zip.entries.get(`${folder}byteorder`);
  // Files from before 2.1 have none and are little-endian
  if (!entry) return 'little';
  const order = Buffer.from(await zip.read(entry, 0, Math.min(entry.size, 8))).toString('latin1');
  if (order === 'little' || order === 'big') return order;
  throw malformedPickle(file, `its byte order is ${quoted(order)}, not little or big`);
}
