/**
 * A checkpoint: one safetensors file with weights, running statistics and optimizer moments, and
 * in its metadata all that is needed to go on with the run or to classify with it.
 *
 * Keys of weights are torchvision's, so that PyTorch loads it by `load_file` and
 * `load_state_dict(…, strict=False)`; an optimizer's entries begin with `optimizer.`.
 */
import { z } from 'zod';
import { Compose } from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import type { AtomicFileSystem } from '../formats/atomic-file.js';
import type { SafeTensor } from '../formats/safetensors.js';
import { writeSafetensors } from '../formats/safetensors-file.js';
import { readState, readWeights, withWeights, type WeightFile } from '../formats/weights.js';
import { networkOptionSchemas, networkOptionsOf, type NetworkOptions } from '../models/options.js';
import { packageRoot } from '../package-root.js';
import { trainConfigSchema } from './configure.js';
import type { StateDict } from './state-dict.js';

const formatVersion = 1;

const epochSchema = z.object({
  epoch: z.int(),
  globalStep: z.int(),
  lr: z.number(),
  trainLoss: z.number(),
  trainTop1: z.number(),
  valLoss: z.number(),
  valTop1: z.number(),
});

/** Where a run stands: after `batch` batches of epoch `epoch`, both counted from 0. */
const progressSchema = z.object({
  epoch: z.int().nonnegative(),
  batch: z.int().nonnegative(),
  globalStep: z.int().nonnegative(),
  /** Of the current epoch. */
  sums: z.object({ lossSum: z.number(), correct: z.int(), images: z.int() }),
  epochs: z.array(epochSchema),
  best: z.object({ epoch: z.int(), top1: z.number() }).nullable(),
});

export type Progress = z.infer<typeof progressSchema>;

const deviceSchema = z.object({ name: z.string(), instructionSet: z.string() });

const dataSchema = z.object({
  trainImages: z.int(),
  valImages: z.int(),
  /** SHA-256 over class, name and place of every image. */
  fingerprint: z.string(),
});

const modelSchema = z.object({ name: z.string(), ...networkOptionSchemas });

const classesSchema = z.array(z.string()).min(1);

/** What going on with a run needs beside the tensors. */
export interface TrainingRecord {
  readonly config: z.infer<typeof trainConfigSchema>;
  readonly progress: Progress;
  readonly device: z.infer<typeof deviceSchema>;
  readonly data: z.infer<typeof dataSchema>;
}

export interface Checkpoint {
  /** The network's name in the registry, and what was chosen of it. */
  readonly model: { readonly name: string } & NetworkOptions;
  /** By label. */
  readonly classes: readonly string[];
  readonly preprocessing: Compose;
  /** Null in a checkpoint that only classifies. */
  readonly training: TrainingRecord | null;
  readonly state: StateDict;
}

/** Writes atomically; throws `disk-full` and leaves the file that was there. */
export async function saveCheckpoint(
  file: string,
  checkpoint: Checkpoint,
  fileSystem?: AtomicFileSystem,
): Promise<void> {
  const { model, classes, preprocessing, training, state } = checkpoint;
  const metadata: Record<string, string> = {
    format: 'pt',
    'plusx.checkpoint': String(formatVersion),
    'plusx.version': packageRoot().version,
    'plusx.model': JSON.stringify(model),
    'plusx.classes': JSON.stringify(classes),
    'plusx.preprocessing': JSON.stringify(preprocessing),
  };
  for (const [key, value] of Object.entries(training ?? {})) {
    metadata[`plusx.${key}`] = JSON.stringify(value);
  }
  await writeSafetensors(file, { tensors: toTensors(state), metadata }, fileSystem);
}

/** Reads a checkpoint; throws PlusxError `checkpoint-…` naming the file and what is wrong. */
export async function loadCheckpoint(file: string): Promise<Checkpoint> {
  return withWeights(file, checkpointOf);
}

/** The checkpoint in a file that is open; throws as `loadCheckpoint`. */
export async function checkpointOf({
  file,
  format,
  tensors,
  metadata,
}: WeightFile): Promise<Checkpoint> {
  if (format !== 'safetensors') throw foreign(file, 'is a file of PyTorch');
  const version = metadata['plusx.checkpoint'];
  if (version === undefined) {
    const what = 'no model name, classes and preprocessing';
    throw foreign(file, `holds ${tensors.size} tensors, but ${what}`);
  }
  if (version !== String(formatVersion)) {
    throw new PlusxError(
      'checkpoint-version',
      `${file} is of checkpoint version ${version}, this plusx reads ${formatVersion}; use the ` +
        `plusx that wrote it (${metadata['plusx.version'] ?? 'unknown'})`,
      { file, version },
    );
  }
  const read = <T>(key: string, schema: z.ZodType<T>) => readEntry(file, metadata, key, schema);
  const model = read('model', modelSchema);
  return {
    model: { name: model.name, ...networkOptionsOf(model) },
    classes: read('classes', classesSchema),
    preprocessing: readPreprocessing(file, metadata),
    training:
      metadata['plusx.progress'] === undefined
        ? null
        : {
            config: read('config', trainConfigSchema),
            progress: read('progress', progressSchema),
            device: read('device', deviceSchema),
            data: read('data', dataSchema),
          },
    state: await readState(file, tensors),
  };
}

/**
 * Writes tensors alone, atomically, for models of one's own: what PyTorch writes as
 * `torch.save(model.state_dict(), file)`. `metadata` is kept beside them.
 */
export async function saveWeights(
  file: string,
  state: StateDict,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeSafetensors(file, {
    tensors: toTensors(state),
    metadata: { format: 'pt', ...metadata },
  });
}

/**
 * The tensors of any file of weights (safetensors, PyTorch's .pth and .pt), by the file's own keys,
 * ready for `Session.importState`. `readWeights` also says what else the file holds, `matchWeights`
 * brings other programs' keys to a model's.
 */
export async function loadWeights(file: string): Promise<StateDict> {
  return (await readWeights(file)).state;
}

function toTensors(state: StateDict): Map<string, SafeTensor> {
  return new Map(
    Array.from(state, ([key, { shape, data }]) => [key, { dtype: 'F32', shape, data }]),
  );
}

function readEntry<T>(
  file: string,
  metadata: Readonly<Record<string, string>>,
  key: string,
  schema: z.ZodType<T>,
): T {
  const text = metadata[`plusx.${key}`];
  let json: unknown;
  try {
    json = JSON.parse(text ?? '');
  } catch {
    throw unusable(file, key, text === undefined ? 'it is missing' : 'it is no JSON');
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw unusable(file, key, z.prettifyError(parsed.error).replace(/\s+/g, ' '));
}

function readPreprocessing(file: string, metadata: Readonly<Record<string, string>>): Compose {
  try {
    return Compose.fromJSON(readEntry(file, metadata, 'preprocessing', z.unknown()));
  } catch (error) {
    if (!(error instanceof PlusxError) || error.code === 'checkpoint-metadata') throw error;
    throw unusable(file, 'preprocessing', error.message);
  }
}

function foreign(file: string, what: string): PlusxError {
  return new PlusxError(
    'checkpoint-foreign',
    `${file} ${what}: plusx did not write it; name a checkpoint of "plusx train", or make one of ` +
      `it: plusx import ${file} --model <name> --out checkpoint.safetensors`,
    { file },
  );
}

function unusable(file: string, key: string, reason: string): PlusxError {
  return new PlusxError(
    'checkpoint-metadata',
    `${file}: its metadata "plusx.${key}" is not usable: ${reason}; take another checkpoint of ` +
      'the run',
    { file, key, reason },
  );
}
