/** Which run an option `resume` means, and whether it may go on as asked. */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Backend } from '../backend/backend.js';
import type { LabelledImages, LabelledSplit } from '../data/labelled-images.js';
import { PlusxError } from '../errors.js';
import { loadCheckpoint, type Checkpoint, type TrainingRecord } from './checkpoint.js';
import { configure, configureResumed, trainConfigSchema } from './configure.js';
import { RunFolder } from './run-folder.js';
import type { TrainConfig, TrainOptions, WarningEvent } from './train-options.js';

/** A checkpoint that a run can go on from. */
export type ResumableCheckpoint = Checkpoint & { readonly training: TrainingRecord };

export interface Origin {
  readonly folder: RunFolder;
  readonly config: TrainConfig;
  /** Null where the run starts at its beginning. */
  readonly checkpoint: ResumableCheckpoint | null;
}

/** Finds where the run starts; reads, but writes nothing. */
export async function findOrigin(
  options: TrainOptions,
  warn: (event: WarningEvent) => void,
): Promise<Origin> {
  const source = resumeSource(options);
  if (source === null) {
    const config = configure(options);
    const folder = new RunFolder(options.out ?? RunFolder.defaultPath());
    folder.expectNew();
    return { folder, config, checkpoint: null };
  }
  if (options.weights !== undefined) {
    throw new PlusxError(
      'option',
      `resume: a run that goes on has weights of its own, got the weights ${options.weights}; ` +
        'leave them out, or start a new run with another --out',
      { weights: options.weights },
    );
  }
  const { run, file } = source;
  const folder = new RunFolder(options.out ?? run ?? RunFolder.defaultPath());
  const continued = run !== null && path.resolve(run) === path.resolve(folder.path);
  if (!continued) folder.expectNew();
  if (existsSync(file)) {
    const checkpoint = await loadResumable(file);
    const config = configureResumed(checkpoint.training.config, options);
    warnOfSchedule(checkpoint.training.config, config, warn);
    return { folder, config, checkpoint };
  }
  // Killed before its first checkpoint: the beginning is all there is to go on from.
  const stored = await storedConfig(folder);
  warn({
    code: 'run-restarted',
    message: `${folder.path} holds no checkpoint yet; the run starts at its beginning`,
  });
  const config = stored === null ? configure(options) : configureResumed(stored, options);
  return { folder, config, checkpoint: null };
}

/** The data of a run, so that one that goes on is known to see the same images. */
export function describeData({ train, val }: LabelledSplit) {
  const hash = createHash('sha256');
  for (const part of [train, val]) hash.update(listing(part)).update('\n--\n');
  return {
    trainImages: train.length,
    valImages: val.length,
    fingerprint: hash.digest('hex'),
  };
}

/** Throws where the images or classes are not those that the checkpoint was trained on. */
export function expectSameData(
  checkpoint: ResumableCheckpoint,
  classes: readonly string[],
  data: TrainingRecord['data'],
): void {
  const before = checkpoint.training.data;
  const known = checkpoint.classes;
  if (known.length !== classes.length || known.some((name, i) => name !== classes[i])) {
    throw new PlusxError(
      'resume-classes',
      `resume: the folder has the classes ${classes.join(', ')}, the run was started with ` +
        `${known.join(', ')}; name the run's own folder, or start a new run`,
      { found: classes, expected: known },
    );
  }
  if (before.fingerprint === data.fingerprint) return;
  throw new PlusxError(
    'resume-data',
    `resume: the folder has ${data.trainImages} images to train on and ${data.valImages} held ` +
      `out, the run was started with ${before.trainImages} and ${before.valImages}` +
      (before.trainImages === data.trainImages ? ', but other files or sizes' : '') +
      "; name the run's own folder as it was, or start a new run",
    { found: data, expected: before },
  );
}

export function warnOfDevice(
  before: TrainingRecord['device'],
  backend: Backend,
  warn: (event: WarningEvent) => void,
): void {
  const { name, instructionSet } = backend;
  if (before.name === name && before.instructionSet === instructionSet) return;
  warn({
    code: 'device-changed',
    message:
      `the run was started on ${before.name} (${before.instructionSet}) and goes on on ${name} ` +
      `(${instructionSet}): the last bits of its weights may differ`,
  });
}

/** The run to continue (null: a copy of a checkpoint) and the checkpoint that it starts from. */
function resumeSource({ resume, out }: TrainOptions) {
  if (resume === undefined || resume === false) return null;
  const target = resume === true ? out : resume;
  if (target === undefined) {
    throw new PlusxError('option', 'resume: no run is named; name its folder, as in runs/first');
  }
  const info = statSync(target, { throwIfNoEntry: false });
  if (!info && resume !== true) {
    throw new PlusxError(
      'checkpoint-not-found',
      `resume: there is no run and no checkpoint at ${target}; check the path`,
      { path: target },
    );
  }
  if (!info?.isFile()) return { run: target, file: new RunFolder(target).last };
  const isLast = path.basename(target) === 'last.safetensors';
  return { run: isLast ? path.dirname(target) : null, file: target };
}

async function loadResumable(file: string): Promise<ResumableCheckpoint> {
  const checkpoint = await loadCheckpoint(file);
  const { training } = checkpoint;
  if (training) return { ...checkpoint, training };
  throw new PlusxError(
    'checkpoint-not-resumable',
    `${file} holds weights, but not where a run stood; name last.safetensors of a run folder`,
    { path: file },
  );
}

async function storedConfig(folder: RunFolder): Promise<TrainConfig | null> {
  if (!existsSync(folder.config)) return null;
  const parsed = trainConfigSchema.safeParse(JSON.parse(await readFile(folder.config, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new PlusxError(
    'checkpoint-metadata',
    `${folder.config} is no configuration of a run; start a new run with another --out`,
    { path: folder.config },
  );
}

function warnOfSchedule(
  before: TrainConfig,
  now: TrainConfig,
  warn: (event: WarningEvent) => void,
): void {
  if (now.schedule === 'constant' || before.epochs === now.epochs) return;
  warn({
    code: 'schedule-stretched',
    message:
      `the cosine schedule now ends at epoch ${now.epochs} instead of ${before.epochs}: ` +
      'the learning rate jumps to the new curve',
  });
}

function listing(images: LabelledImages): string {
  return images.samples
    .map(({ label }, i) => `${images.classes[label]}\0${images.identity(i)}`)
    .join('\n');
}
