/** Measures a training step on images made up in memory: the engine alone, without the loader. */
import { openBackend, type DeviceChoice, type InstructionSet } from '../backend/devices.js';
import { PlusxError } from '../errors.js';
import { imagenet } from '../data/transforms.js';
import { networkOptionsOf, type NetworkOptions } from '../models/options.js';
import { createModel, optionsOfModel } from '../models/registry.js';
import type { Precision } from '../plan/precision.js';
import { Random } from '../random/philox.js';
import { sgd } from './optimizers.js';
import { withProcess } from './memory-check.js';
import { Session } from './session.js';
import { median } from './timing.js';

/** `stem` is `conv3x3` by default where the model has one to choose, and no variant of it is asked for. */
export interface BenchStepOptions extends NetworkOptions {
  /** Default `resnet18`. */
  readonly model?: string | undefined;
  /** Side of the images in pixels. Default 64. */
  readonly imageSize?: number | undefined;
  /** Default 8. */
  readonly batchSize?: number | undefined;
  /** Evaluate the images rather than train on them. Default false. */
  readonly inference?: boolean | undefined;
  /** Of a training step, as in `SessionOptions`; an evaluation is always in `fp32`, the default. */
  readonly precision?: Precision | undefined;
  readonly device?: DeviceChoice | undefined;
  readonly threads?: number | undefined;
  /** Of the native engine. Default: the best one that the processor has. */
  readonly instructionSet?: InstructionSet | undefined;
  /** Steps that are timed. Default 10. */
  readonly steps?: number | undefined;
  /** Steps before, which are not. Default 3. */
  readonly warmup?: number | undefined;
  readonly onNotice?: ((line: string) => void) | undefined;
  /** After each step, warm-up included. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** The network's options are those that it was made with. */
export interface StepTiming extends NetworkOptions {
  readonly model: string;
  readonly imageSize: number;
  readonly batchSize: number;
  readonly precision: Precision;
  readonly secondsPerStep: { readonly median: number; readonly min: number; readonly max: number };
  /** By the median. */
  readonly imagesPerSecond: number;
  /** Floating-point operations a second by the median, a multiply-add counted as two. */
  readonly flopsPerSecond: number;
  /** Largest resident size of this process so far. */
  readonly peakMemoryBytes: number;
  /** What was forecast of it before the first step. */
  readonly plannedMemoryBytes: number;
  /** Resident size after a tenth of the steps and after all. */
  readonly residentBytes: { readonly early: number; readonly late: number };
  readonly steps: number;
  readonly device: string;
  readonly instructionSet: string;
  readonly threads: number;
}

/** Times training steps (SGD, cross-entropy, two classes), or evaluations, after warm-up. */
export async function benchStep(options: BenchStepOptions = {}): Promise<StepTiming> {
  const { model = 'resnet18', imageSize = 64, batchSize = 8, precision = 'fp32' } = options;
  const { steps = 10, warmup = 3, inference = false, onProgress } = options;
  expectSteps(steps);
  const { backend, session, forecast, batch } = await openBench(options);

  const { flops } = inference ? session.evaluationPlan : await session.trainingPlan();
  const seconds: number[] = [];
  let early = 0;
  for (let i = 0; i < warmup + steps; i++) {
    const start = performance.now();
    await (inference ? session.logits(batch.images) : session.step(batch));
    if (i >= warmup) seconds.push((performance.now() - start) / 1000);
    if (seconds.length === Math.max(1, Math.floor(steps / 10))) early ||= process.memoryUsage.rss();
    onProgress?.(i + 1, warmup + steps);
  }
  const late = process.memoryUsage.rss();
  await session.dispose();
  await backend.dispose();

  const middle = median(seconds);
  return {
    model,
    ...benchedNetwork(options),
    imageSize,
    batchSize,
    precision,
    secondsPerStep: { median: middle, min: Math.min(...seconds), max: Math.max(...seconds) },
    imagesPerSecond: batchSize / middle,
    flopsPerSecond: flops / middle,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    plannedMemoryBytes: forecast.peakMemoryBytes,
    residentBytes: { early, late },
    steps,
    device: backend.name,
    instructionSet: backend.instructionSet,
    threads: backend.threads,
  };
}

/** Throws where nothing would be timed. */
export function expectSteps(steps: number): void {
  if (Number.isInteger(steps) && steps >= 1) return;
  throw new PlusxError('option', `steps must be a whole number of at least 1, got ${steps}`);
}

/** Throws where an evaluation is to be measured in a precision that it does not have. */
function expectTraining({ inference = false, precision = 'fp32' }: BenchStepOptions): void {
  if (!inference || precision === 'fp32') return;
  throw new PlusxError(
    'option',
    `the precision ${precision} is of training, an evaluation is always in fp32; ` +
      'measure a training step in it, or leave it out',
    { precision },
  );
}

/** An engine and a session on it, as the options want them, with images made up. */
export async function openBench(options: BenchStepOptions) {
  const { model = 'resnet18', imageSize = 64, batchSize = 8, precision = 'fp32' } = options;
  expectTraining(options);
  const network = createModel(model, { classes: 2, ...benchedNetwork(options) });
  const backend = await openBackend({
    ...(options.device === undefined ? {} : { device: options.device }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.instructionSet === undefined ? {} : { instructionSet: options.instructionSet }),
    ...(options.onNotice === undefined ? {} : { onNotice: options.onNotice }),
  });
  const sessionOptions = {
    imageSize,
    batchSize,
    normalization: imagenet,
    optimizer: sgd({ lr: 0.01 }),
    seed: 0,
    precision,
  };
  // Weights are drawn one by one, and no checkpoint is written.
  const forecast = withProcess(Session.forecast(network, backend, sessionOptions), 0);
  const session = await Session.create(network, backend, sessionOptions);
  return { backend, session, forecast, batch: randomBatch(batchSize, imageSize) };
}

/** The network's options after the benchmark's default. */
export function benchedNetwork(options: BenchStepOptions): NetworkOptions {
  const { model = 'resnet18', variant } = options;
  const articles = !variant && optionsOfModel(model).includes('stem');
  return { ...(articles ? { stem: 'conv3x3' } : {}), ...networkOptionsOf(options) };
}

function randomBatch(batchSize: number, imageSize: number) {
  const random = new Random(0, 'bench');
  const images = Uint8Array.from({ length: batchSize * imageSize ** 2 * 3 }, () =>
    random.below(256),
  );
  return { images, labels: Int32Array.from({ length: batchSize }, (_, i) => i % 2) };
}
