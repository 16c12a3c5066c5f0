/** A model's weights as files that other programs read: PyTorch's .pth and safetensors. */
import { writeFileAtomically } from '../formats/atomic-file.js';
import { encodePth } from '../formats/torch/write-archive.js';
import type { SafeTensor } from '../formats/safetensors.js';
import { writeSafetensors } from '../formats/safetensors-file.js';
import type { StateDict } from './state-dict.js';
import { optimizerPrefix } from './training-graph.js';

/** One entry of a PyTorch module's state dict. */
interface ModuleEntry {
  readonly key: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface ExportWeightsOptions {
  /** What PyTorch counts in each batch-norm and never reads unless told to. Default 0. */
  readonly batches?: number | undefined;
}

/**
 * Writes a PyTorch file that `torch.load(file, weights_only=True)` reads and
 * `load_state_dict(…, strict=True)` takes: the model's entries of `state` under their keys, without
 * an optimizer's. Atomic; the same weights give the same bytes. Throws `pth-too-large` and what
 * `saveWeights` throws.
 */
export async function exportPth(
  file: string,
  state: StateDict,
  options: ExportWeightsOptions = {},
): Promise<void> {
  await writeFileAtomically(file, encodePth(moduleEntries(state, options)));
}

/** As `exportPth`, as safetensors, for `safetensors.torch.load_file`; `metadata` lies beside them. */
export async function exportSafetensors(
  file: string,
  state: StateDict,
  options: ExportWeightsOptions & { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const tensors = new Map<string, SafeTensor>();
  for (const { key, shape, data } of moduleEntries(state, options)) {
    const dtype = data instanceof Float32Array ? 'F32' : 'I64';
    tensors.set(key, { dtype, shape, data });
  }
  await writeSafetensors(file, { tensors, metadata: { format: 'pt', ...options.metadata } });
}

/** What the module in PyTorch has, in its order: each batch-norm counts its batches as well. */
function moduleEntries(state: StateDict, { batches = 0 }: ExportWeightsOptions): ModuleEntry[] {
  return [...state].flatMap(([key, { shape, data }]): ModuleEntry[] => {
    if (key.startsWith(optimizerPrefix)) return [];
    const entry = { key, shape, data };
    if (!/(^|\.)running_var$/.test(key)) return [entry];
    const counter = key.replace(/running_var$/, 'num_batches_tracked');
    return [entry, { key: counter, shape: [], data: BigInt64Array.of(BigInt(batches)) }];
  });
}
