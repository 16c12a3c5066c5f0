/**
 * From a model to the graphs of its life: a whole training step (forward, loss, backward, update)
 * and evaluation with running statistics.
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
}

/** Prefix of the optimizer's entries in a state dict. */
export const optimizerPrefix = 'optimizer.';

/**
 * Inputs `images` (N,S,S,3) u8, `labels` (N) i32, `hyper` (3): learning rate and AdamW's two bias
 * corrections; where the model has a dropout, `randomness` (4) i32. Outputs `loss` (1), `logits` (N, classes). Updates every parameter.
 */
export function trainingGraph(model: Module, options: TrainingGraphOptions): Graph {
  const trace = new Trace(model, { training: true });
  const { builder } = trace;
  const images = normalizedImages(trace, options);
  const labels = trace.input('labels', { shape: [options.batchSize], dtype: 'i32' });
  const hyper = trace.input('hyper', { shape: [3], dtype: 'f32' });

  const logits = model(images);
  const loss = (options.loss ?? crossEntropy)(logits, labels);
  const trained = trace.trained();
  const parameters = trained.map(({ value }) => value);
  const gradients = differentiate(builder, loss.value, parameters, derivativesInto(builder));

  trained.forEach(({ key, value }, i) => {
    const gradient = gradients[i];
    // A part of the network that the loss does not see, as the head behind features: it stays.
    if (!gradient) return;
    if (options.keepGradients) builder.output(`gradient.${key}`, gradient);
    addUpdate(trace, options.optimizer, key, value, gradient, hyper.value);
  });
  builder.output('loss', loss.value);
  builder.output('logits', logits.value);
  return builder.build();
}

/** Input `images` (N,S,S,3) u8, output `logits` (N, classes). Changes no state. */
export function evaluationGraph(model: Module, options: GraphOptions): Graph {
  const trace = new Trace(model, { training: false });
  trace.builder.output('logits', model(normalizedImages(trace, options)).value);
  return trace.builder.build();
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
