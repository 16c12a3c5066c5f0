/** What a training run is told, hears back and returns: types only, shared by every caller. */
import type { DeviceChoice, InstructionSet } from '../backend/devices.js';
import type { BadImage } from '../data/doctor.js';
import type { ExifPolicy } from '../data/decode.js';
import type { Freeze } from './fine-tuning.js';
import type { NetworkOptions } from '../models/options.js';
import type { Precision } from '../plan/precision.js';
import type { ConfusionMatrix } from './metrics.js';
import type { ProcessForecast } from './step-plans.js';

/** How a rate develops over a run: at `lr` throughout, or along half a cosine down to 0. */
export type ScheduleName = 'constant' | 'cosine';

export type OptimizerName = 'sgd' | 'adamw';

/** Every field may be left out but `folder`, which a resumed run knows itself. */
export interface TrainOptions extends NetworkOptions {
  /**
   * `train/<class>/…` with `val/` or `test/`, or just `<class>/…` (see `valSplit`); or
   * `cifar10:<folder>` with CIFAR-10's published batches, whose images are 32 pixels by default.
   */
  readonly folder?: string | undefined;
  /** Default `resnet18`. */
  readonly model?: string | undefined;
  /**
   * Side S of the square images in pixels: Resize(round(S·256/224)), CenterCrop(S). Default: what the
   * model was made for, 224, or 32 of the networks for CIFAR.
   */
  readonly imageSize?: number | undefined;
  /** Default 10. On resume it may be raised. */
  readonly epochs?: number | undefined;
  /** Images a step. Default 8. */
  readonly batchSize?: number | undefined;
  /** The learning rate, after warm-up. Default 0.01 with sgd, 0.001 with adamw. */
  readonly lr?: number | undefined;
  /** Of sgd. Default 0. */
  readonly momentum?: number | undefined;
  /** Default 0 with sgd, 0.01 with adamw. */
  readonly weightDecay?: number | undefined;
  /** Default `sgd`. */
  readonly optimizer?: OptimizerName | undefined;
  /** Default `constant`. */
  readonly schedule?: ScheduleName | undefined;
  /** Epochs, also fractional, over which the rate rises linearly from 0. Default 0. */
  readonly warmupEpochs?: number | undefined;
  /**
   * Where the weights begin: a safetensors file, a checkpoint, a file of PyTorch, or one on the Hugging
   * Face hub, `hf:<owner>/<repository>[@<revision>][/<file>]`. Default: drawn from the seed. The head is
   * drawn anew where the number of classes differs. Not together with `resume`.
   */
  readonly weights?: string | undefined;
  /**
   * What stays as it is: `stem`, `layer1` … `layer3` with all before, or `backbone`, all but the head.
   * Its batch-norms use their running statistics. Default `none`.
   */
  readonly freeze?: Freeze | undefined;
  /** Learning rate of the head, the last linear layer, along the same schedule. Default: `lr`. */
  readonly headLr?: number | undefined;
  /** All batch-norms use their running statistics and leave them as they are. Default false. */
  readonly freezeStatistics?: boolean | undefined;
  /**
   * Micro-batches in which a step's images are computed one after the other, to save memory. There is
   * one update a step; batch-norms see a micro-batch at a time. Default 1.
   */
  readonly accumulate?: number | undefined;
  /**
   * `bf16` stores what lies between the layers, and its gradients, as bfloat16 while training: about half
   * the memory, and less time where the processor has bf16 dot products. Weights, sums, checkpoints and
   * evaluation stay float32. Default `fp32`.
   */
  readonly precision?: Precision | undefined;
  /** Of weights, order of images and split. A whole number. Default 0. */
  readonly seed?: number | undefined;
  /** Default `auto`. */
  readonly device?: DeviceChoice | undefined;
  /** Default: the processors that this process may use. */
  readonly threads?: number | undefined;
  /** Of the native engine. Default: the best one that the processor has. */
  readonly instructionSet?: InstructionSet | undefined;
  /** The run folder. Default `runs/<date-time>`. */
  readonly out?: string | undefined;
  /**
   * A run folder or a checkpoint in one, to continue from; `true` for the run in `out`. Options
   * that are not given are the run's own; one that would change its result is refused.
   */
  readonly resume?: string | boolean | undefined;
  /** Steps between checkpoints; one is also written at each epoch's end. Default 100. */
  readonly checkpointEvery?: number | undefined;
  /** Steps between lines in metrics.jsonl. Default 10. */
  readonly logEvery?: number | undefined;
  /** Share of images held out, class by class, where there is no `val/` or `test/`. Default 0.1. */
  readonly valSplit?: number | undefined;
  /** Goes on without images that cannot be read. Default false. */
  readonly skipBad?: boolean | undefined;
  /** Default `honour`. */
  readonly exif?: ExifPolicy | undefined;
  /** Once aborted, the current step is finished, a checkpoint saved and the run returns. */
  readonly signal?: AbortSignal | undefined;
}

/** Called in order, each before the run goes on. */
export interface TrainEvents {
  /** While weights come from the hub, before all else. */
  readonly download?: (event: DownloadEvent) => void;
  /** While every image is read once, before the start. */
  readonly check?: (event: CheckEvent) => void;
  /** Once, before the first step. */
  readonly start?: (event: StartEvent) => void;
  readonly step?: (event: StepEvent) => void;
  /** While validating; from the first image to the last. */
  readonly validation?: (event: ValidationEvent) => void;
  /** After the validation of each epoch. */
  readonly epoch?: (event: EpochEvent) => void;
  readonly checkpoint?: (event: CheckpointEvent) => void;
  /** What a person should know but need not act on: another device, images left out. */
  readonly warning?: (event: WarningEvent) => void;
}

export interface DownloadEvent {
  readonly source: string;
  /** Bytes that are there. */
  readonly bytes: number;
  readonly total: number;
}

export interface CheckEvent {
  /** Images looked at. */
  readonly images: number;
  readonly total: number;
}

export interface StartEvent extends ProcessForecast {
  /** Where the run is kept. */
  readonly run: string;
  readonly model: string;
  readonly classes: readonly string[];
  /** As many as `classes`. */
  readonly trainImagesPerClass: readonly number[];
  readonly valImagesPerClass: readonly number[];
  readonly imageSize: number;
  readonly batchSize: number;
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  readonly device: string;
  readonly deviceDescription: string;
  readonly threads: number;
  /** Of a whole run, from two steps measured on throw-away weights. */
  readonly estimatedSeconds: number;
  readonly skipped: readonly BadImage[];
  /** Steps done before, 0 unless resumed. */
  readonly resumedAtStep: number;
  readonly seed: number;
  /** All options as they stand after defaults. */
  readonly config: TrainConfig;
}

export interface StepEvent {
  /** Counted from 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Within the epoch, from 1. */
  readonly step: number;
  readonly steps: number;
  /** Within the run, from 1. */
  readonly globalStep: number;
  readonly totalSteps: number;
  /** Mean cross-entropy of this batch. */
  readonly loss: number;
  /** Means over the images of this epoch so far. */
  readonly runningLoss: number;
  readonly runningTop1: number;
  readonly lr: number;
  readonly imagesPerSecond: number;
  /** Of the run, validation included. */
  readonly remainingSeconds: number;
}

export interface ValidationEvent {
  readonly epoch: number;
  /** Images done. */
  readonly images: number;
  readonly total: number;
}

/** One epoch as metrics.jsonl holds it. */
export interface EpochResult {
  readonly epoch: number;
  readonly globalStep: number;
  readonly lr: number;
  readonly trainLoss: number;
  readonly trainTop1: number;
  readonly valLoss: number;
  /** Share of held-out images, 0 to 1. */
  readonly valTop1: number;
}

export interface EpochEvent extends EpochResult {
  readonly epochs: number;
  readonly seconds: number;
  /** Whether it is the best so far and was kept as best.safetensors. */
  readonly best: boolean;
  /** Rows: true class, columns: predicted class. */
  readonly confusion: ConfusionMatrix;
}

export interface CheckpointEvent {
  readonly path: string;
  readonly globalStep: number;
  readonly kind: 'last' | 'best';
}

export interface WarningEvent {
  /**
   * `device`, `device-changed`, `head-replaced`, `images-skipped`, `memory`, `run-restarted`,
   * `schedule-stretched`, `weights`.
   */
  readonly code: string;
  readonly message: string;
}

export interface TrainSummary {
  readonly status: 'finished' | 'interrupted';
  readonly run: string;
  readonly last: string;
  /** Null as long as no epoch has been validated. */
  readonly best: string | null;
  readonly bestEpoch: number | null;
  readonly bestTop1: number | null;
  readonly epochs: readonly EpochResult[];
  readonly globalStep: number;
  readonly totalSteps: number;
  readonly classes: readonly string[];
  readonly seconds: number;
  readonly device: string;
  readonly parameters: number;
  readonly skipped: readonly BadImage[];
  /** How to go on, when interrupted. */
  readonly resume: { readonly run: string; readonly command: string } | null;
}

/** Null where nothing was chosen. */
type Chosen<Options> = { readonly [Name in keyof Options]-?: NonNullable<Options[Name]> | null };

/** All options of a run as they stand after defaults; what config.json and checkpoints hold. */
export interface TrainConfig extends Chosen<NetworkOptions> {
  readonly folder: string;
  readonly model: string;
  readonly imageSize: number;
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly optimizer: OptimizerName;
  readonly schedule: ScheduleName;
  readonly warmupEpochs: number;
  readonly weights: string | null;
  readonly freeze: Freeze;
  readonly headLr: number | null;
  readonly freezeStatistics: boolean;
  readonly accumulate: number;
  readonly precision: Precision;
  readonly seed: number;
  readonly device: DeviceChoice;
  readonly threads: number | null;
  readonly instructionSet: InstructionSet | null;
  readonly checkpointEvery: number;
  readonly logEvery: number;
  readonly valSplit: number;
  readonly skipBad: boolean;
  readonly exif: ExifPolicy;
}
