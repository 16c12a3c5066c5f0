/**
 * All that happens before the first step: options, images, device, network, forecast. Until every
 * check has passed, nothing is written.
 */
import os from 'node:os';
import { openBackend } from '../backend/devices.js';
import type { Backend } from '../backend/backend.js';
import { badImagesError, checkImages, type BadImage, type CachedImages } from '../data/doctor.js';
import { DataLoader } from '../data/loader.js';
import { openTraining, preprocessingFor } from '../data/open.js';
import type { Compose } from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import { networkOptionsOf, networkText } from '../models/options.js';
import { createModel } from '../models/registry.js';
import { optimizerOf } from './configure.js';
import { fineTuningOptions } from './fine-tuning.js';
import { forecastWithin } from './memory-check.js';
import { noImages } from './metrics.js';
import { describeData, expectSameData, findOrigin, warnOfDevice } from './resume.js';
import { Session } from './session.js';
import { readStart, startFrom } from './start-weights.js';
import type { TrainConfig, TrainEvents, TrainOptions } from './train-options.js';
import { TrainingRun } from './training-run.js';

/** Most memory for decoded images; beyond it they are decoded anew each epoch. */
const maxCacheBytes = 2 ** 30;

/** Validates, opens and measures; the run that comes back is ready for its next step. */
export async function prepareRun(options: TrainOptions, events: TrainEvents): Promise<TrainingRun> {
  const warn = events.warning ?? (() => {});
  const { folder, checkpoint, ...origin } = await findOrigin(options, warn);
  const start =
    origin.config.weights === null || checkpoint
      ? null
      : await readStart(origin.config.weights, events, options.signal);
  const config = start ? { ...origin.config, weights: start.source } : origin.config;
  const transform = preprocessingFor(config.folder, config.imageSize, config.exif);
  const images = await readImages(config, transform, events, options.signal);
  const { train, val, skipped } = images;
  const { classes } = train.folder;
  const data = describeData({ train: train.folder, val: val.folder });
  if (checkpoint) expectSameData(checkpoint, classes, data);
  const { batchSize, seed } = config;
  const loader = new DataLoader(train, { batchSize, shuffle: true, seed });
  const valLoader = new DataLoader(val, { batchSize: Math.min(batchSize, val.length) });

  const model = createModel(config.model, {
    ...networkOptionsOf(config),
    classes: classes.length,
  });
  const backend = await openDevice(config, events);
  try {
    if (checkpoint) warnOfDevice(checkpoint.training.device, backend, warn);
    const { imageSize } = config;
    const { normalization } = transform;
    const optimizer = optimizerOf(config);
    const sessionOptions = {
      ...{ imageSize, batchSize, normalization, optimizer, seed },
      ...{ accumulate: config.accumulate, precision: config.precision },
      ...fineTuningOptions(model, config),
    };
    const forecast = forecastWithin(model, backend, sessionOptions, warn);
    const session = await Session.create(model, backend, sessionOptions);
    const run = new TrainingRun({
      folder,
      config,
      transform,
      classes,
      data,
      skipped,
      backend,
      session,
      loader,
      valLoader,
      forecast,
      progress: checkpoint?.training.progress ?? atStart,
      events,
    });
    const stepSeconds = await measureStep(session, config);
    if (checkpoint) await session.importState(checkpoint.state);
    if (start) await startFrom(session, model, networkText(config), start.weights, warn);
    session.stepsTaken = run.progress.globalStep;
    await run.begin(stepSeconds, countPerClass(train), countPerClass(val));
    return run;
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}

const atStart = { epoch: 0, batch: 0, globalStep: 0, sums: noImages, epochs: [], best: null };

interface Images {
  readonly train: CachedImages;
  readonly val: CachedImages;
  readonly skipped: readonly BadImage[];
}

/** Opens the folder and looks at every image, so that a bad one is named now. */
async function readImages(
  config: TrainConfig,
  transform: Compose,
  events: TrainEvents,
  signal: AbortSignal | undefined,
): Promise<Images> {
  const { folder, valSplit, seed, skipBad, batchSize } = config;
  const dataset = await openTraining(folder, { transform, valSplit, seed });
  expectBatch(batchSize, dataset.train.length);
  const total = dataset.train.length + dataset.val.length;
  const budget = Math.min(maxCacheBytes, os.freemem() / 4);
  const trainBytes = dataset.train.length * transform.outputSize ** 2 * 3;
  const check = async (part: typeof dataset.train, before: number, cacheBytes: number) => {
    const onProgress = (done: number) => events.check?.({ images: before + done, total });
    return checkImages(part, { cacheBytes, onProgress, ...(signal ? { signal } : {}) });
  };
  try {
    const train = await check(dataset.train, 0, budget);
    const val = await check(dataset.val, dataset.train.length, Math.max(0, budget - trainBytes));
    const skipped = [...train.bad, ...val.bad];
    if (skipped.length > 0) {
      if (!skipBad) throw badImagesError(skipped);
      events.warning?.({
        code: 'images-skipped',
        message: `going on without ${skipped.length} of ${total} images that cannot be used`,
      });
    }
    expectEveryClass(train.dataset, skipped);
    expectBatch(batchSize, train.dataset.length);
    if (val.dataset.length === 0) throw noneLeft('held-out image', skipped);
    return { train: train.dataset, val: val.dataset, skipped };
  } catch (error) {
    if (signal?.aborted && !(error instanceof PlusxError)) throw interruptedEarly();
    throw error;
  }
}

function countPerClass({ folder }: CachedImages): number[] {
  const counts = folder.countByClass();
  return folder.classes.map((name) => counts[name]!);
}

function expectBatch(batchSize: number, images: number): void {
  if (batchSize <= images) return;
  throw new PlusxError(
    'batch-size',
    `train: batchSize ${batchSize} is larger than the data of ${images} images to train on; ` +
      `use at most ${images}`,
    { batchSize, images },
  );
}

function expectEveryClass(train: CachedImages, skipped: readonly BadImage[]): void {
  const counts = countPerClass(train);
  const empty = train.folder.classes.find((_, label) => counts[label] === 0);
  if (empty !== undefined) throw noneLeft(`image of class "${empty}" to train on`, skipped);
}

function noneLeft(what: string, skipped: readonly BadImage[]): PlusxError {
  return new PlusxError(
    'class-empty',
    `no ${what} is left without the ${skipped.length} images that cannot be used ` +
      `(${skipped[0]?.file ?? 'none'}: ${skipped[0]?.reason ?? ''}); add good images`,
    { skipped },
  );
}

export function interruptedEarly(): PlusxError {
  return new PlusxError('interrupted', 'interrupted before the first step; nothing was written');
}

async function openDevice(config: TrainConfig, events: TrainEvents): Promise<Backend> {
  const { device, threads, instructionSet } = config;
  return openBackend({
    device,
    ...(threads === null ? {} : { threads }),
    ...(instructionSet === null ? {} : { instructionSet }),
    onNotice: (message) => events.warning?.({ code: 'device', message }),
  });
}

/** Seconds of one step, on pixels of no meaning; the weights are put back afterwards. */
async function measureStep(session: Session, config: TrainConfig): Promise<number> {
  const { batchSize, imageSize } = config;
  const images = Uint8Array.from(
    { length: batchSize * imageSize ** 2 * 3 },
    (_, i) => (i * 37) % 251,
  );
  const labels = new Int32Array(batchSize);
  const initial = await session.exportState();
  let seconds = 0;
  for (let attempt = 0; attempt < 2; attempt++) {
    const begin = performance.now();
    await session.step({ images, labels });
    seconds = (performance.now() - begin) / 1000;
    // The first step also pays for memory and caches; a long one does not care.
    if (seconds > 2) break;
  }
  await session.importState(initial);
  return seconds;
}
