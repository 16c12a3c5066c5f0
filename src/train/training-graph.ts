/**
 * From a model to the graphs of its life: a whole training step (forward, loss, backward, update), or
 * the same in micro-batches whose gradients are added up, and evaluation with running statistics.
 */
import { differentiate } from '../autodiff/differentiate.js';
import type { Graph, Value } from '../graph/graph.js';
import type { Module } from '../nn/module.js';
import { crossEntropy } from '../nn/functional.js';
import type { Tensor } from '../nn/tensor.js';
import { Trace } from '../nn/trace.js';
import { derivativesInto } from '../ops/derivatives.js';
import { emitInto } from '../ops/emit.js';
import type { Optimizer } from './optimizers.js';

/** What the network is given: square images of bytes, and how they become numbers. */
export interface ImageFormat {
  /** Side of the square images in pixels. */
  readonly imageSize: number;
  readonly normalization: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

export interface GraphOptions extends ImageFormat {
  readonly batchSize: number;
}

export interface TrainingGraphOptions extends GraphOptions {
  readonly optimizer: Optimizer;
  /** (logits (N, classes), labels (N)) → one value. Default: cross-entropy. */
  readonly loss?: (logits: Tensor, labels: Tensor) => Tensor;
  /** Makes the gradient of each parameter an output `gradient.<key>`. Default false. */
  readonly keepGradients?: boolean;
  /**
   * Keys of the state that stays as it is. A parameter among them has no gradient, no update and no
   * optimizer state; a batch-norm whose running statistics are among them normalises by those.
   * Default: none.
   */
  readonly frozen?: ReadonlySet<string>;
  /** Parameters with a learning rate of their own: `lrFactor` times that of the others. */
  readonly head?: { readonly keys: ReadonlySet<string>; readonly lrFactor: number };
}

/** Prefix of the optimizer's entries in a state dict. */
export const optimizerPrefix = 'optimizer.';

/** Prefix of the sums of gradients, which live within a step of several micro-batches. */
export const gradientPrefix = 'gradient.';

/**
 * A whole step. Inputs `images` (N,S,S,3) u8, `labels` (N) i32, `hyper` (3): learning rate and
 * AdamW's two bias corrections, `headHyper` (3) where the head has a rate of its own, and
 * `randomness` (4) i32 where the model has a dropout. Outputs `loss` (1), `logits` (N, classes).
 * Updates every parameter that is trained and that the loss depends on.
 */
export function trainingGraph(model: Module, options: TrainingGraphOptions): Graph {
  const trace = trainingTrace(model, options);
  const { builder } = trace;
  const inputs = imagesAndLabels(trace, options);
  const hyperOf = hyperInputs(trace, options);
  for (const { key, value, gradient } of backward(trace, model, options, inputs)) {
    if (options.keepGradients) builder.output(`${gradientPrefix}${key}`, gradient);
    addUpdate(trace, options.optimizer, key, value, gradient, hyperOf(key));
  }
  return builder.build();
}

/**
 * A micro-batch of a step: its gradients are added to the state `gradient.<key>`. Inputs `images`,
 * `labels`, and `share` (1), what the micro-batch is of the batch. Outputs `loss` (1), the mean over
 * the micro-batch, and `logits`.
 */
export function microBatchGraph(model: Module, options: TrainingGraphOptions): Graph {
  const trace = trainingTrace(model, options);
  const { builder } = trace;
  const inputs = imagesAndLabels(trace, options);
  const share = trace.input('share', { shape: [1], dtype: 'f32' }).value;
  for (const { key, value, gradient } of backward(trace, model, options, inputs, share)) {
    const sum = gradientState(trace, key, value);
    const [added] = emitInto(builder, () => key)('add', [sum, gradient], {});
    builder.update(`${gradientPrefix}${key}`, added!);
  }
  return builder.build();
}

/** What comes before the micro-batches of a step: the sums of gradients become 0. */
export function clearGraph(model: Module, options: TrainingGraphOptions): Graph {
  const trace = trainingTrace(model, options);
  const emit = emitInto(trace.builder, () => '');
  for (const { key, value } of trace.trained()) {
    gradientState(trace, key, value);
    const [zeros] = emit('fill', [], { shape: value.shape, value: 0 });
    trace.builder.update(`${gradientPrefix}${key}`, zeros!);
  }
  return trace.builder.build();
}

/** What comes behind them: inputs `hyper` and `headHyper`, the update by the summed gradients. */
export function updateGraph(model: Module, options: TrainingGraphOptions): Graph {
  const trace = trainingTrace(model, options);
  const hyperOf = hyperInputs(trace, options);
  for (const { key, value } of trace.trained()) {
    const gradient = gradientState(trace, key, value);
    addUpdate(trace, options.optimizer, key, value, gradient, hyperOf(key));
  }
  return trace.builder.build();
}

/** Input `images` (N,S,S,3) u8, output `logits` (N, classes). Changes no state. */
export function evaluationGraph(model: Module, options: GraphOptions): Graph {
  const trace = new Trace(model, { training: false });
  trace.builder.output('logits', model(normalizedImages(trace, options)).value);
  return trace.builder.build();
}

function trainingTrace(model: Module, { frozen }: TrainingGraphOptions): Trace {
  return new Trace(model, { training: true, ...(frozen ? { frozen } : {}) });
}

interface Fed {
  readonly images: Tensor;
  readonly labels: Tensor;
}

function imagesAndLabels(trace: Trace, options: GraphOptions): Fed {
  const images = normalizedImages(trace, options);
  return { images, labels: trace.input('labels', { shape: [options.batchSize], dtype: 'i32' }) };
}

interface Differentiated {
  readonly key: string;
  readonly value: Value;
  readonly gradient: Value;
}

/**
 * Forward, loss and backward; outputs `loss` and `logits`. Returns what is trained, with gradients
 * that begin with `seed` at the loss, 1 where it is not given.
 */
function backward(
  trace: Trace,
  model: Module,
  options: TrainingGraphOptions,
  { images, labels }: Fed,
  seed?: Value,
): readonly Differentiated[] {
  const { builder } = trace;
  const logits = model(images);
  const loss = (options.loss ?? crossEntropy)(logits, labels);
  builder.output('loss', loss.value);
  builder.output('logits', logits.value);
  const rules = derivativesInto(builder);
  const trained = trace.trained();
  const gradients = differentiate(
    builder,
    loss.value,
    trained.map(({ value }) => value),
    seed ? { ...rules, ones: () => seed } : rules,
  );
  return trained.flatMap((entry, i) => {
    const gradient = gradients[i];
    // A part of the network that the loss does not see, as the head behind features, stays.
    return gradient ? [{ ...entry, gradient }] : [];
  });
}

/** The hyperparameters of each parameter, by its key. */
function hyperInputs(trace: Trace, { head }: TrainingGraphOptions): (key: string) => Value {
  const type = { shape: [3], dtype: 'f32' } as const;
  const hyper = trace.input('hyper', type).value;
  if (!head) return () => hyper;
  const headHyper = trace.input('headHyper', type).value;
  return (key) => (head.keys.has(key) ? headHyper : hyper);
}

function gradientState({ builder }: Trace, key: string, { shape }: Value): Value {
  return builder.state(`${gradientPrefix}${key}`, { shape, dtype: 'f32' });
}

function normalizedImages(trace: Trace, options: GraphOptions): Tensor {
  const { batchSize, imageSize, normalization } = options;
  const shape = [batchSize, imageSize, imageSize, normalization.mean.length];
  const images = trace.input('images', { shape, dtype: 'u8' });
  return trace.emitOne('normalizeImage', [images], normalization);
}

function addUpdate(
  trace: Trace,
  optimizer: Optimizer,
  key: string,
  parameter: Value,
  gradient: Value,
  hyper: Value,
): void {
  const { builder } = trace;
  const emit = emitInto(builder, () => key);
  const moment = (name: string) => {
    const state = `${optimizerPrefix}${name}.${key}`;
    return { state, value: builder.state(state, { shape: parameter.shape, dtype: 'f32' }) };
  };
  if (optimizer.kind === 'sgd') {
    const { momentum, weightDecay, nesterov } = optimizer;
    const velocity = momentum > 0 ? moment('velocity') : undefined;
    const inputs = [parameter, gradient, hyper, ...(velocity ? [velocity.value] : [])];
    const [updated, speed] = emit('sgd', inputs, { momentum, weightDecay, nesterov });
    builder.update(key, updated!);
    if (velocity) builder.update(velocity.state, speed!);
  } else {
    const { beta1, beta2, eps, weightDecay } = optimizer;
    const [m, v] = [moment('m'), moment('v')];
    const attributes = { beta1, beta2, eps, weightDecay };
    const inputs = [parameter, gradient, hyper, m.value, v.value];
    const [updated, newM, newV] = emit('adamW', inputs, attributes);
    builder.update(key, updated!);
    builder.update(m.state, newM!);
    builder.update(v.state, newV!);
  }
}
