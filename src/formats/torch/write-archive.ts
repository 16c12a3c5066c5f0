/**
 * A state dict as a PyTorch file, which `torch.load(file, weights_only=True)` reads: a zip archive
 * with a pickle of names and shapes, and each tensor's numbers beside it.
 *
 * Source: PyTorch, torch/serialization.py (_save) and caffe2/serialize/inline_container.cc.
 */
import { createHash } from 'node:crypto';
import { PlusxError } from '../../errors.js';
import { pickleStateDict, type PickledTensor } from '../pickle/writer.js';
import { maxZipBytes, storedZip, zipBytes, type StoredEntry } from '../zip-writer.js';

export interface PthTensor {
  readonly key: string;
  readonly shape: readonly number[];
  /** Dense, row-major: float32, or int64. */
  readonly data: Float32Array | BigInt64Array;
}

/** The file as parts; the same tensors give the same bytes. Throws PlusxError `pth-too-large`. */
export function encodePth(tensors: readonly PthTensor[]): Uint8Array[] {
  const described = tensors.map(({ key, shape, data }, i): PickledTensor => {
    const storageType = data instanceof Float32Array ? 'FloatStorage' : 'LongStorage';
    return { key, shape, storage: String(i), storageType };
  });
  const pickle = pickleStateDict(described);
  const entries: StoredEntry[] = [
    { name: 'data.pkl', data: pickle },
    text('.format_version', '1'),
    text('.storage_alignment', '64'),
    text('byteorder', 'little'),
    ...tensors.map(({ data }, i) => ({
      name: `data/${i}`,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
    text('version', '3\n'),
    text('.data/serialization_id', serializationId(pickle)),
  ].map(({ name, data }) => ({ name: `archive/${name}`, data }));
  const bytes = zipBytes(entries);
  if (bytes > maxZipBytes) {
    throw new PlusxError(
      'pth-too-large',
      `the .pth file would have ${bytes} bytes, plusx writes ${maxZipBytes} at most; export it ` +
        'as safetensors',
      { bytes, allowed: maxZipBytes },
    );
  }
  return storedZip(entries);
}

/** 40 digits, as PyTorch writes them, here of what the file is about. */
function serializationId(pickle: Uint8Array): string {
  const hash = createHash('sha256').update(pickle).digest('hex');
  return BigInt(`0x${hash}`).toString().slice(0, 40).padStart(40, '0');
}

function text(name: string, content: string): StoredEntry {
  return { name, data: new TextEncoder().encode(content) };
}
