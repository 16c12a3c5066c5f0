/**
 * A run under way: where it stands, what it says and what it keeps. The order of steps is in
 * `trainer.ts`.
 */
import { existsSync } from 'node:fs';
import type { Backend } from '../backend/backend.js';
import type { BadImage } from '../data/doctor.js';
import type { DataLoader, ImageBatch } from '../data/loader.js';
import type { Compose } from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import { networkOptionsOf } from '../models/options.js';
import { packageRoot } from '../package-root.js';
import { saveCheckpoint, type Progress, type TrainingRecord } from './checkpoint.js';
import { addBatch, meanLoss, noImages, top1 } from './metrics.js';
import type { Measured } from './measure.js';
import { Pace } from './pace.js';
import type { RunFolder } from './run-folder.js';
import { learningRate, type Schedule } from './schedule.js';
import type { ProcessForecast, Session, StepResult } from './session.js';
import type { StateDict } from './state-dict.js';
import type { TrainConfig, TrainEvents, TrainSummary } from './train-options.js';

export interface RunParts {
  readonly folder: RunFolder;
  readonly config: TrainConfig;
  readonly transform: Compose;
  readonly classes: readonly string[];
  readonly data: TrainingRecord['data'];
  readonly skipped: readonly BadImage[];
  readonly backend: Backend;
  readonly session: Session;
  readonly loader: DataLoader;
  readonly valLoader: DataLoader;
  readonly forecast: ProcessForecast;
  readonly progress: Progress;
  readonly events: TrainEvents;
}

/** Work of an image in evaluation, relative to one in training: forward alone of three passes. */
const evaluationShare = 1 / 3;

export class TrainingRun {
  progress: Progress;
  readonly totalSteps: number;
  private readonly schedule: Schedule;
  private readonly pace: Pace;
  private readonly begun = performance.now();
  private epochBegun = performance.now();
  private lastSavedStep: number | null = null;

  constructor(readonly parts: RunParts) {
    const { config, loader, valLoader, progress, folder } = parts;
    this.progress = progress;
    this.totalSteps = config.epochs * loader.length;
    this.schedule = {
      kind: config.schedule,
      lr: config.lr,
      warmupSteps: Math.round(config.warmupEpochs * loader.length),
      totalSteps: this.totalSteps,
    };
    const trainImages = loader.source.length;
    const done = progress.epoch * trainImages + progress.sums.images;
    const validationShare = (evaluationShare * valLoader.source.length) / trainImages;
    this.pace = new Pace(config.epochs * trainImages - done, validationShare);
    if (existsSync(folder.last)) this.lastSavedStep = progress.globalStep;
  }

  get learningRate(): number {
    return learningRate(this.schedule, this.progress.globalStep);
  }

  /** Makes the run folder and says what is about to happen. */
  async begin(
    stepSeconds: number,
    trainImagesPerClass: readonly number[],
    valImagesPerClass: readonly number[],
  ): Promise<void> {
    const { folder, config, backend, loader, forecast, classes, skipped } = this.parts;
    const { progress, totalSteps } = this;
    await folder.create();
    const plusx = packageRoot().version;
    await folder.writeJson(folder.config, { ...config, classes, plusx, skipped });
    await folder.keepMetrics(({ kind, epoch, globalStep }) =>
      kind === 'step' ? globalStep <= progress.globalStep : epoch <= progress.epochs.length,
    );
    const valShare = (evaluationShare * this.parts.valLoader.length) / loader.length;
    this.parts.events.start?.({
      run: folder.path,
      model: config.model,
      ...forecast,
      classes,
      trainImagesPerClass,
      valImagesPerClass,
      imageSize: config.imageSize,
      batchSize: config.batchSize,
      epochs: config.epochs,
      stepsPerEpoch: loader.length,
      device: backend.name,
      deviceDescription: backend.description,
      threads: backend.threads,
      estimatedSeconds: (totalSteps - progress.globalStep) * stepSeconds * (1 + valShare),
      skipped,
      resumedAtStep: progress.globalStep,
      seed: config.seed,
      config,
    });
    this.pace.restart();
    this.epochBegun = performance.now();
  }

  /** Counts a step, reports it, and saves where one is due. */
  async afterStep(batch: ImageBatch, { loss, logits }: StepResult, lr: number): Promise<void> {
    const { config, loader, events, folder } = this.parts;
    const { epoch } = this.progress;
    const globalStep = this.progress.globalStep + 1;
    if (!Number.isFinite(loss)) throw this.notFinite(`the loss is ${loss}`, globalStep);
    const sums = addBatch(this.progress.sums, logits, batch.labels);
    const step = this.progress.batch + 1;
    this.progress = { ...this.progress, batch: step, globalStep, sums };
    const line = {
      epoch: epoch + 1,
      step,
      globalStep,
      lr,
      loss,
      runningLoss: meanLoss(sums),
      runningTop1: top1(sums),
    };
    const pace = this.pace.add(batch.labels.length);
    const { epochs } = config;
    const { totalSteps } = this;
    events.step?.({ ...line, ...pace, epochs, steps: loader.length, totalSteps });
    if (globalStep % config.logEvery === 0) {
      const { imagesPerSecond } = pace;
      await folder.appendMetrics({ kind: 'step', ...line, imagesPerSecond, time: now() });
    }
    if (globalStep % config.checkpointEvery === 0) await this.save();
  }

  /** Records a validated epoch and saves; `best.safetensors` first, as `last` speaks of it. */
  async afterEpoch({ sums, confusion }: Measured): Promise<void> {
    const { config, folder, events } = this.parts;
    const { epoch, globalStep, sums: trained, best } = this.progress;
    if (!Number.isFinite(meanLoss(sums))) {
      throw this.notFinite(`the validation loss is ${meanLoss(sums)}`, globalStep);
    }
    const result = {
      epoch: epoch + 1,
      globalStep,
      lr: learningRate(this.schedule, Math.max(0, globalStep - 1)),
      trainLoss: meanLoss(trained),
      trainTop1: top1(trained),
      valLoss: meanLoss(sums),
      valTop1: top1(sums),
    };
    const isBest = best === null || result.valTop1 > best.top1;
    this.progress = {
      epoch: epoch + 1,
      batch: 0,
      globalStep,
      sums: noImages,
      epochs: [...this.progress.epochs, result],
      best: isBest ? { epoch: result.epoch, top1: result.valTop1 } : best,
    };
    const seconds = (performance.now() - this.epochBegun) / 1000;
    await folder.appendMetrics({ kind: 'epoch', ...result, seconds, time: now() });
    await this.save(isBest);
    events.epoch?.({ ...result, epochs: config.epochs, seconds, best: isBest, confusion });
    this.epochBegun = performance.now();
    this.pace.restart();
  }

  /** Writes `last.safetensors`, and the same as `best.safetensors` first where `best` is set. */
  async save(best = false): Promise<void> {
    const { folder, config, transform, classes, data, backend, session, events } = this.parts;
    const { globalStep } = this.progress;
    const state = await session.exportState();
    this.expectFinite(state);
    const checkpoint = {
      model: { name: config.model, ...networkOptionsOf(config) },
      classes,
      preprocessing: transform,
      training: {
        config,
        progress: this.progress,
        device: { name: backend.name, instructionSet: backend.instructionSet },
        data,
      },
      state,
    };
    try {
      await folder.syncMetrics();
      if (best) {
        await saveCheckpoint(folder.best, checkpoint);
        events.checkpoint?.({ path: folder.best, globalStep, kind: 'best' });
      }
      await saveCheckpoint(folder.last, checkpoint);
    } catch (error) {
      throw this.namingLastGood(error);
    }
    this.lastSavedStep = globalStep;
    events.checkpoint?.({ path: folder.last, globalStep, kind: 'last' });
    this.pace.restart();
  }

  /** Saves where the last step is not yet, and returns how to go on. */
  async interrupt(): Promise<TrainSummary> {
    if (this.lastSavedStep !== this.progress.globalStep) await this.save();
    return this.summarise('interrupted');
  }

  async summarise(status: TrainSummary['status']): Promise<TrainSummary> {
    const { folder, config, classes, backend, forecast, skipped } = this.parts;
    const { best, epochs, globalStep } = this.progress;
    const command = `npx plusx train ${quote(config.folder)} --resume ${quote(folder.path)}`;
    const summary: TrainSummary = {
      status,
      run: folder.path,
      last: folder.last,
      best: best && folder.best,
      bestEpoch: best && best.epoch,
      bestTop1: best && best.top1,
      epochs,
      globalStep,
      totalSteps: this.totalSteps,
      classes,
      seconds: (performance.now() - this.begun) / 1000,
      device: backend.description,
      parameters: forecast.parameters,
      skipped,
      resume: status === 'interrupted' ? { run: folder.path, command } : null,
    };
    await folder.writeJson(folder.summary, summary);
    return summary;
  }

  async close(): Promise<void> {
    await this.parts.session.dispose();
    await this.parts.backend.dispose();
  }

  /** A step may give a finite loss and yet leave weights that are not: such are never saved. */
  private expectFinite(state: StateDict): void {
    for (const [key, { data }] of state) {
      if (allFinite(data)) continue;
      const bad = data.find((value) => !Number.isFinite(value));
      throw this.notFinite(`${key} holds ${bad}`, this.progress.globalStep);
    }
  }

  private notFinite(what: string, globalStep: number): PlusxError {
    return new PlusxError(
      'loss-not-finite',
      `step ${globalStep} of epoch ${this.progress.epoch + 1}: ${what}; ${this.lastGood()}. ` +
        `Start a new run with a lower --lr than ${this.parts.config.lr}, or with --warmup-epochs 1`,
      { step: globalStep, lastGoodCheckpoint: this.lastGoodFile() },
    );
  }

  private namingLastGood(error: unknown): unknown {
    if (!(error instanceof PlusxError)) return error;
    const goOn =
      this.lastSavedStep === null ? '' : ` Go on with --resume ${this.parts.folder.path}`;
    return new PlusxError(error.code, `${error.message}; ${this.lastGood()}.${goOn}`, {
      ...error.details,
      lastGoodCheckpoint: this.lastGoodFile(),
    });
  }

  private lastGoodFile(): string | null {
    return this.lastSavedStep === null ? null : this.parts.folder.last;
  }

  private lastGood(): string {
    return this.lastSavedStep === null
      ? 'there is no checkpoint before it'
      : `the last good checkpoint is ${this.parts.folder.last} (step ${this.lastSavedStep})`;
  }
}

/** Ten times as fast as asking each value: only finite ones give 0 times 0. */
function allFinite(data: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i]! * 0;
  return sum === 0;
}

const now = () => new Date().toISOString();

const quote = (text: string) =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
