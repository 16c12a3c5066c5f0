/**
 * A model at work on one backend: training steps and evaluation in one arena, weights and
 * optimizer state inside it. Users never free memory; `dispose` only does it sooner.
 */
import { PlusxError } from '../errors.js';
import type { Backend, Executable } from '../backend/backend.js';
import type { Compose } from '../data/transforms.js';
import type { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { compilePlan, layOutState } from '../plan/compile.js';
import type { Plan, Slot, StateLayout } from '../plan/plan.js';
import { initialValues } from './initialize.js';
import { fromFileLayout, toFileLayout, type StateDict } from './state-dict.js';
import { evaluationGraph, trainingGraph } from './training-graph.js';
import type { ImageFormat, TrainingGraphOptions } from './training-graph.js';

/**
 * `batchSize` and `optimizer`, the images' format (`transform`, or `imageSize` and `normalization`
 * where no Compose makes them), and what has defaults: `loss`, `seed`, `keepGradients`.
 */
export type SessionOptions = Omit<TrainingGraphOptions, keyof ImageFormat> &
  (ImageFormat | { readonly transform: Compose }) & {
    /** Of the weights' initial values. Default 0. */
    readonly seed?: number;
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

/** What a training step costs, known before anything runs. */
export interface Forecast {
  /** Trained numbers. */
  readonly parameters: number;
  /** Floating-point operations of a step, a multiply-add counted as two. */
  readonly flopsPerStep: number;
  /** The arena: weights, moments, activations, gradients, scratch, weights packed for evaluation. */
  readonly peakMemoryBytes: number;
}

export class Session {
  /** Updates done so far: the time of AdamW's bias corrections. Set it when resuming. */
  stepsTaken = 0;

  private readonly trainingExecutables = new Map<number, Promise<Executable>>();

  private constructor(
    private readonly model: Module,
    private readonly backend: Backend,
    private readonly options: TrainingGraphOptions,
    private readonly state: StateLayout,
    private readonly evaluation: Executable,
  ) {}

  /** Compiles `model` for `backend` and draws its weights from the seed. */
  static async create(
    model: Module,
    backend: Backend,
    { seed = 0, ...rest }: SessionOptions,
  ): Promise<Session> {
    const options = withImageFormat(rest);
    expectWhole('batchSize', options.batchSize);
    expectWhole('imageSize', options.imageSize);
    const state = layOutState(trainingGraph(model, options));
    const plan = compilePlan(evaluationGraph(model, options), backend.capabilities, state);
    const session = new Session(model, backend, options, state, await backend.compile(plan));
    for (const [key, data] of initialValues(model, seed)) {
      await session.evaluation.write(state.slots[key]!, data);
    }
    return session;
  }

  static forecast(model: Module, backend: Backend, options: SessionOptions): Forecast {
    const complete = withImageFormat(options);
    const graph = trainingGraph(model, complete);
    const plan = compilePlan(graph, backend.capabilities);
    const evaluation = evaluationGraph(model, complete);
    const prepared = compilePlan(evaluation, backend.capabilities, layOutState(graph));
    return {
      parameters: model.parameterCount(),
      flopsPerStep: plan.flops,
      peakMemoryBytes: Math.max(plan.arenaBytes, prepared.arenaBytes),
    };
  }

  /**
   * One training step: forward, loss, backward, update. The batch may be smaller than
   * `batchSize` (a plan of its own is compiled once per size), not larger.
   */
  async step(batch: Batch, { lr = this.options.optimizer.lr } = {}): Promise<StepResult> {
    const executable = await this.trainingExecutable(batch.labels.length);
    const { outputs } = executable.plan;
    await executable.run(this.inputsOf(batch, lr));
    this.stepsTaken++;
    const loss = (await executable.read(outputs.loss!)) as Float32Array;
    const logits = (await executable.read(outputs.logits!)) as Float32Array;
    return { loss: loss[0]!, logits };
  }

  /**
   * A training step like `step`, with the same results; returns the seconds that each step of the
   * plan (`trainingPlan`) took.
   */
  async profile(batch: Batch, { lr = this.options.optimizer.lr } = {}): Promise<Float64Array> {
    const executable = await this.trainingExecutable(batch.labels.length);
    const seconds = await this.timed(executable, this.inputsOf(batch, lr));
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
    const executable = await this.trainingExecutable(batchSize);
    const gradients: StateDict = new Map();
    for (const [name, slot] of Object.entries(executable.plan.outputs)) {
      if (!name.startsWith('gradient.')) continue;
      const data = (await executable.read(slot)) as Float32Array;
      gradients.set(name.slice('gradient.'.length), toFileLayout(slot.shape, data));
    }
    return gradients;
  }

  /** Logits (N, classes) in evaluation mode: running statistics, no gradients, any N. */
  async logits(images: Uint8Array): Promise<Float32Array> {
    const { batchSize } = this.options;
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
      // Images do not see each other in evaluation: a short batch is filled with zeros.
      const full = new Uint8Array(batchSize * imageBytes);
      full.set(part);
      await this.evaluation.run({ images: full });
      const batch = (await this.evaluation.read(plan.outputs.logits!)) as Float32Array;
      logits.set(batch.subarray(0, (part.length / imageBytes) * classes), start * classes);
    }
    return logits;
  }

  /** A copy of weights, running statistics and optimizer moments, in file layout. */
  async exportState(): Promise<StateDict> {
    const dict: StateDict = new Map();
    for (const [key, slot] of Object.entries(this.state.slots)) {
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
    const writes: [Slot, Float32Array][] = [];
    for (const [key, slot] of Object.entries(this.state.slots)) {
      const tensor = dict.get(key);
      if (tensor) writes.push([slot, fromFileLayout(key, slot.shape, tensor)]);
      else if (strict || this.parameters().has(key)) throw missingKey(key, dict);
    }
    if (strict) {
      for (const key of dict.keys()) if (!this.state.slots[key]) throw this.unknownKey(key);
    }
    for (const [slot, data] of writes) await this.evaluation.write(slot, data);
  }

  /** The plan of a training step, for printing and profiles. */
  async trainingPlan(batchSize = this.options.batchSize): Promise<Plan> {
    return (await this.trainingExecutable(batchSize)).plan;
  }

  /** The plan of an evaluation of `batchSize` images. */
  get evaluationPlan(): Plan {
    return this.evaluation.plan;
  }

  /** Frees the arena now. */
  async dispose(): Promise<void> {
    for (const executable of this.trainingExecutables.values()) await (await executable).dispose();
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

  private trainingExecutable(batchSize: number): Promise<Executable> {
    if (batchSize < 1 || batchSize > this.options.batchSize) {
      throw new PlusxError(
        'batch-size',
        `step: the batch has ${batchSize} images, the session was made for ` +
          `1 to ${this.options.batchSize}`,
      );
    }
    const known = this.trainingExecutables.get(batchSize);
    if (known) return known;
    const graph = trainingGraph(this.model, { ...this.options, batchSize });
    const plan = compilePlan(graph, this.backend.capabilities, this.state);
    const executable = this.backend.compile(plan, this.evaluation);
    this.trainingExecutables.set(batchSize, executable);
    return executable;
  }

  private inputsOf({ images, labels }: Batch, lr: number) {
    return { images, labels, hyper: this.hyperAt(this.stepsTaken + 1, lr) };
  }

  private hyperAt(time: number, lr: number): Float32Array {
    const { optimizer } = this.options;
    if (optimizer.kind === 'sgd') return Float32Array.of(lr, 1, 1);
    return Float32Array.of(lr, 1 - optimizer.beta1 ** time, 1 - optimizer.beta2 ** time);
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

/** A transform says in which format its images come. */
function withImageFormat(options: SessionOptions): TrainingGraphOptions {
  if (!('transform' in options)) return options;
  const { outputSize, normalization } = options.transform;
  return { ...options, imageSize: outputSize, normalization };
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
