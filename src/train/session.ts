/**
 * A model at work on one backend: training steps and evaluation in one arena, weights and
 * optimizer state inside it. Users never free memory; `dispose` only does it sooner.
 */
import { closest } from 'fastest-levenshtein';
import { PlusxError } from '../errors.js';
import type { Backend, Executable, TensorData } from '../backend/backend.js';
import type { Compose } from '../data/transforms.js';
import type { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import type { Plan, Slot } from '../plan/plan.js';
import { precisions, type Precision } from '../plan/precision.js';
import { dropoutWords } from '../random/philox.js';
import { initialValues } from './initialize.js';
import { expectShape, fromFileLayout, toFileLayout, type StateDict } from './state-dict.js';
import { StepPlans, type Forecast, type StepOptions, type StepPart } from './step-plans.js';
import { gradientPrefix, type ImageFormat, type TrainingGraphOptions } from './training-graph.js';

export type { Forecast, ProcessForecast } from './step-plans.js';

/**
 * `batchSize` and `optimizer`, the images' format (`transform`, or `imageSize` and `normalization`
 * where no Compose makes them), and what has defaults: `loss`, `seed`, `keepGradients`, `frozen`,
 * `head`, `accumulate`, `precision`.
 */
export type SessionOptions = Omit<TrainingGraphOptions, keyof ImageFormat> &
  (ImageFormat | { readonly transform: Compose }) & {
    /** Of the weights' initial values and of dropout's masks. Default 0. */
    readonly seed?: number;
    /**
     * Micro-batches in which a step's images are computed, to save memory: their gradients are added
     * up, then comes one update. Batch-norms see a micro-batch at a time. Default 1.
     */
    readonly accumulate?: number;
    /**
     * `bf16` stores what lies between the layers, and its gradients, as bfloat16 while training: half
     * the memory, and faster where the processor has bf16 dot products. Weights, sums and evaluation
     * stay float32. Default `fp32`.
     */
    readonly precision?: Precision;
  };

export interface Batch {
  /** (N, S, S, 3), NHWC. */
  readonly images: Uint8Array;
  /** (N), each below the number of classes. */
  readonly labels: Int32Array;
}

export interface StepResult {
  /** Mean cross-entropy over the batch, before the update. */
  readonly loss: number;
  /** (N, classes) */
  readonly logits: Float32Array;
}

export class Session {
  /**
   * Updates done so far: the time of AdamW's bias corrections and of dropout's masks. Set it when
   * resuming.
   */
  stepsTaken = 0;

  private readonly executables = new Map<string, Promise<Executable>>();
  /** What outlives a step, by state-dict key. */
  private readonly slots: ReadonlyMap<string, Slot>;

  private constructor(
    private readonly model: Module,
    private readonly backend: Backend,
    private readonly options: StepOptions,
    private readonly seed: number,
    private readonly plans: StepPlans,
    private readonly evaluation: Executable,
  ) {
    const lasting = Object.entries(plans.state.slots).filter(([key]) => {
      return !key.startsWith(gradientPrefix);
    });
    this.slots = new Map(lasting);
  }

  /** Compiles `model` for `backend` and draws its weights from the seed. */
  static async create(
    model: Module,
    backend: Backend,
    { seed = 0, ...rest }: SessionOptions,
  ): Promise<Session> {
    const options = completed(rest);
    const plans = new StepPlans(model, options, backend.capabilities);
    const evaluation = await backend.compile(plans.evaluation());
    const session = new Session(model, backend, options, seed, plans, evaluation);
    for (const [key, data] of initialValues(model, seed)) {
      await evaluation.write(session.slots.get(key)!, data);
    }
    return session;
  }

  static forecast(model: Module, backend: Backend, options: SessionOptions): Forecast {
    return new StepPlans(model, completed(options), backend.capabilities).forecast();
  }

  /**
   * One training step: forward, loss, backward, update. The batch may be smaller than
   * `batchSize` (a plan of its own is compiled once per size), not larger.
   */
  async step(batch: Batch, { lr = this.options.optimizer.lr } = {}): Promise<StepResult> {
    this.expectBatch(batch.labels.length);
    const rates = this.ratesAt(this.stepsTaken + 1, lr);
    const result =
      this.options.accumulate > 1
        ? await this.accumulate(batch, rates)
        : await this.runPart('step', batch, { ...rates, ...this.randomness() });
    this.stepsTaken++;
    return result;
  }

  /**
   * A training step like `step`, with the same results; returns the seconds that each step of the
   * plan (`trainingPlan`) took.
   */
  async profile(batch: Batch, { lr = this.options.optimizer.lr } = {}): Promise<Float64Array> {
    this.expectBatch(batch.labels.length);
    if (this.options.accumulate > 1) {
      throw new PlusxError(
        'no-profile',
        `profile: a step of ${this.options.accumulate} micro-batches is several plans; ` +
          'profile one with accumulate 1',
      );
    }
    const executable = await this.executable('step', batch.labels.length);
    const rates = this.ratesAt(this.stepsTaken + 1, lr);
    const seconds = await this.timed(executable, { ...batch, ...rates, ...this.randomness() });
    this.stepsTaken++;
    return seconds;
  }

  /**
   * Evaluates `batchSize` images like `logits`; returns the seconds that each step of the plan
   * (`evaluationPlan`) took, 0 for those that prepare and had nothing to do.
   */
  async profileLogits(images: Uint8Array): Promise<Float64Array> {
    return this.timed(this.evaluation, { images });
  }

  /** The gradients of the last step by state-dict key; needs the option `keepGradients`. */
  async gradients(batchSize = this.options.batchSize): Promise<StateDict> {
    const summed = this.options.accumulate > 1;
    const { plan } = summed ? this.evaluation : await this.executable('step', batchSize);
    const gradients: StateDict = new Map();
    for (const [name, slot] of Object.entries(summed ? plan.state.slots : plan.outputs)) {
      if (!name.startsWith(gradientPrefix)) continue;
      const data = (await this.evaluation.read(slot)) as Float32Array;
      gradients.set(name.slice(gradientPrefix.length), toFileLayout(slot.shape, data));
    }
    return gradients;
  }

  /** Logits (N, classes) in evaluation mode: running statistics, no gradients, any N. */
  async logits(images: Uint8Array): Promise<Float32Array> {
    const { microBatch: batchSize } = this.plans;
    const { plan } = this.evaluation;
    const imageBytes = plan.inputs.images!.shape.slice(1).reduce((a, b) => a * b, 1);
    if (images.length === 0 || images.length % imageBytes !== 0) {
      throw new PlusxError(
        'shape',
        `logits: ${images.length} bytes are no whole number of images of ${imageBytes} bytes`,
      );
    }
    const count = images.length / imageBytes;
    const classes = plan.outputs.logits!.shape[1]!;
    const logits = new Float32Array(count * classes);
    for (let start = 0; start < count; start += batchSize) {
      const part = images.subarray(start * imageBytes, (start + batchSize) * imageBytes);
      await this.evaluation.run({ images: filledUp(part, batchSize * imageBytes) });
      const batch = (await this.evaluation.read(plan.outputs.logits!)) as Float32Array;
      logits.set(batch.subarray(0, (part.length / imageBytes) * classes), start * classes);
    }
    return logits;
  }

  /** A copy of weights, running statistics and optimizer moments, in file layout. */
  async exportState(): Promise<StateDict> {
    const dict: StateDict = new Map();
    for (const [key, slot] of this.slots) {
      const data = (await this.evaluation.read(slot)) as Float32Array;
      dict.set(key, toFileLayout(slot.shape, data));
    }
    return dict;
  }

  /**
   * Replaces the state. With `strict` (default) every entry of the model must be there and nothing
   * else; without it, missing optimizer entries and unknown keys are passed over. All is checked
   * before anything is written.
   */
  async importState(dict: StateDict, { strict = true } = {}): Promise<void> {
    for (const [key, slot] of this.slots) {
      const tensor = dict.get(key);
      if (tensor) expectShape(key, slot.shape, tensor);
      else if (strict || this.parameters().has(key)) throw missingKey(key, dict);
    }
    if (strict) {
      for (const key of dict.keys()) if (!this.slots.has(key)) throw this.unknownKey(key);
    }
    for (const [key, slot] of this.slots) {
      const tensor = dict.get(key);
      if (tensor) await this.evaluation.write(slot, fromFileLayout(slot.shape, tensor));
    }
  }

  /** The plan of a training step, or of its largest micro-batch, for printing and profiles. */
  async trainingPlan(batchSize = this.options.batchSize): Promise<Plan> {
    this.expectBatch(batchSize);
    if (this.options.accumulate === 1) return (await this.executable('step', batchSize)).plan;
    return (await this.executable('microBatch', Math.max(...this.plans.cut(batchSize)))).plan;
  }

  /** The plan of an evaluation of `batchSize` images. */
  get evaluationPlan(): Plan {
    return this.evaluation.plan;
  }

  /** Frees the arena now. */
  async dispose(): Promise<void> {
    for (const executable of this.executables.values()) await (await executable).dispose();
    await this.evaluation.dispose();
  }

  private timed(executable: Executable, inputs: Parameters<Executable['run']>[0]) {
    if (executable.profile) return executable.profile(inputs);
    const { description } = this.backend;
    throw new PlusxError('no-profile', `profile: ${description} does not time its steps`);
  }

  private parameters(): ReadonlyMap<string, Parameter> {
    return this.model.namedParameters();
  }

  /** A step's gradients micro-batch by micro-batch, in their order, then its update. */
  private async accumulate({ images, labels }: Batch, rates: Rates): Promise<StepResult> {
    await (await this.executable('clear')).run({});
    const imageBytes = images.length / labels.length;
    const logits: Float32Array[] = [];
    let loss = 0;
    let start = 0;
    for (const [i, size] of this.plans.cut(labels.length).entries()) {
      const end = start + size;
      const part = {
        images: images.subarray(start * imageBytes, end * imageBytes),
        labels: labels.subarray(start, end),
      };
      const share = size / labels.length;
      const others = { share: Float32Array.of(share), ...this.randomness(i) };
      const result = await this.runPart('microBatch', part, others);
      loss += share * result.loss;
      logits.push(result.logits);
      start = end;
    }
    await (await this.executable('update')).run(rates);
    return { loss, logits: Float32Array.from(logits.flatMap((values) => [...values])) };
  }

  private async runPart(
    part: 'step' | 'microBatch',
    batch: Batch,
    others: Readonly<Record<string, TensorData>>,
  ): Promise<StepResult> {
    const executable = await this.executable(part, batch.labels.length);
    await executable.run({ images: batch.images, labels: batch.labels, ...others });
    const { outputs } = executable.plan;
    const loss = (await executable.read(outputs.loss!)) as Float32Array;
    const logits = (await executable.read(outputs.logits!)) as Float32Array;
    return { loss: loss[0]!, logits };
  }

  private executable(part: StepPart, images?: number): Promise<Executable> {
    const name = `${part} ${images ?? ''}`;
    const known = this.executables.get(name);
    if (known) return known;
    const executable = this.backend.compile(this.plans.plan(part, images), this.evaluation);
    this.executables.set(name, executable);
    return executable;
  }

  private expectBatch(batchSize: number): void {
    if (batchSize >= 1 && batchSize <= this.options.batchSize) return;
    throw new PlusxError(
      'batch-size',
      `step: the batch has ${batchSize} images, the session was made for ` +
        `1 to ${this.options.batchSize}`,
    );
  }

  /** What dropout's masks are drawn from; read only where the model has one. */
  private randomness(part = 0): { readonly randomness: Int32Array } {
    return { randomness: dropoutWords(this.seed, this.stepsTaken, part) };
  }

  private ratesAt(time: number, lr: number): Rates {
    const { optimizer, head } = this.options;
    const corrections =
      optimizer.kind === 'sgd'
        ? [1, 1]
        : [1 - optimizer.beta1 ** time, 1 - optimizer.beta2 ** time];
    const hyper = Float32Array.of(lr, ...corrections);
    return head
      ? { hyper, headHyper: Float32Array.of(lr * head.lrFactor, ...corrections) }
      : { hyper };
  }

  private unknownKey(key: string): PlusxError {
    return new PlusxError(
      'checkpoint-key',
      `the checkpoint has "${key}", which the model and its optimizer do not; ` +
        'load it into the model that it was saved from',
      { key },
    );
  }
}

/** What the update of a step is told: learning rates and bias corrections. */
type Rates = Readonly<Record<string, Float32Array>>;

/** With defaults, and the format of the images, which a transform says. */
function completed(given: SessionOptions): StepOptions {
  const { accumulate = 1, precision = 'fp32' } = given;
  const options = { ...withImageFormat(given), accumulate, precision };
  const { batchSize, imageSize } = options;
  expectWhole('batchSize', batchSize);
  expectWhole('imageSize', imageSize);
  expectWhole('accumulate', accumulate);
  if (!precisions.includes(precision)) {
    throw new PlusxError(
      'option',
      `precision must be one of ${precisions.join(', ')}, got "${String(precision)}"; ` +
        `did you mean "${closest(String(precision), [...precisions])}"?`,
    );
  }
  if (accumulate <= batchSize) return options;
  throw new PlusxError(
    'option',
    `accumulate must be at most batchSize, ${batchSize}, got ${accumulate}`,
  );
}

function withImageFormat(options: SessionOptions): TrainingGraphOptions {
  if (!('transform' in options)) return options;
  const { outputSize, normalization } = options.transform;
  return { ...options, imageSize: outputSize, normalization };
}

/** Images do not see each other in evaluation: a short batch is filled with zeros. */
function filledUp(images: Uint8Array, bytes: number): Uint8Array {
  if (images.length === bytes) return images;
  const full = new Uint8Array(bytes);
  full.set(images);
  return full;
}

function missingKey(key: string, dict: StateDict): PlusxError {
  return new PlusxError(
    'checkpoint-key',
    `the model has "${key}", the checkpoint of ${dict.size} tensors does not; ` +
      'load it into the model that it was saved from',
    { key },
  );
}

function expectWhole(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new PlusxError('option', `${name} must be a whole number of at least 1, got ${value}`);
}
