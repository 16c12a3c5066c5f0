/** Layers: modules with parameters, and the container of layers in a row. */
import { PlusxError } from '../errors.js';
import { dropout as dropped, type DropoutOptions } from './functional.js';
import { Module } from './module.js';
import { ones, pytorchDefault, zeros, type Initialiser } from './init.js';
import { Parameter } from './parameter.js';
import type { Tensor } from './tensor.js';

export interface Conv2dOptions {
  /** Side of the square filter, R = S. */
  readonly kernelSize: number;
  /** Default 1. */
  readonly stride?: number;
  /** Zeros on every side. Default 0. */
  readonly padding?: number;
  /** Groups of channels that do not see each other; divides both counts of channels. Default 1. */
  readonly groups?: number;
  /** Default true, as in PyTorch; before batch-norm it is useless. */
  readonly bias?: boolean;
  /** Default: PyTorch's, Kaiming uniform with a = √5. */
  readonly init?: Initialiser;
  /** Default: PyTorch's, in the same bounds. */
  readonly biasInit?: Initialiser;
}

export class Conv2d extends Module {
  readonly weight: Parameter; // (K, R, S, C/groups)
  readonly bias: Parameter | undefined; // (K)

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    private readonly options: Conv2dOptions,
  ) {
    super();
    const { kernelSize, stride = 1, padding = 0, groups = 1, bias = true } = options;
    expectCounts('conv2d', { inChannels, outChannels, kernelSize, stride, groups });
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      const wanted = `a divisor of ${inChannels} input and ${outChannels} output channels`;
      throw invalid('conv2d', 'groups', wanted, groups);
    }
    if (!Number.isInteger(padding) || padding < 0) {
      throw invalid('conv2d', 'padding', 'a whole number of at least 0', padding);
    }
    const fanIn = (inChannels / groups) * kernelSize * kernelSize;
    this.weight = new Parameter({
      shape: [outChannels, kernelSize, kernelSize, inChannels / groups],
      init: options.init ?? pytorchDefault(fanIn),
    });
    const biasInit = options.biasInit ?? pytorchDefault(fanIn);
    if (bias) this.bias = new Parameter({ shape: [outChannels], init: biasInit });
  }

  override forward(x: Tensor): Tensor {
    const { stride = 1, padding = 0, groups = 1 } = this.options;
    const { trace } = x;
    const y = trace.emitOne('conv2d', [x, trace.use(this.weight)], {
      stride,
      padding,
      ...(groups === 1 ? {} : { groups }),
    });
    return this.bias ? trace.emitOne('addBias', [y, trace.use(this.bias)], {}) : y;
  }
}

export interface BatchNorm2dOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number;
  /** Weight of the new batch in the running statistics. Default 0.1. */
  readonly momentum?: number;
  /** Of the weight. Default: ones. */
  readonly init?: Initialiser;
}

/** Batch normalisation over N, H and W (arXiv 1502.03167). */
export class BatchNorm2d extends Module {
  readonly weight: Parameter; // (C)
  readonly bias: Parameter; // (C)
  readonly runningMean: Parameter; // (C)
  readonly runningVar: Parameter; // (C), unbiased

  constructor(
    readonly channels: number,
    private readonly options: BatchNorm2dOptions = {},
  ) {
    super();
    expectCounts('batchNorm2d', { channels });
    const shape = [channels];
    this.weight = new Parameter({ shape, init: options.init ?? ones });
    this.bias = new Parameter({ shape, init: zeros });
    this.runningMean = new Parameter({ shape, init: zeros, buffer: true });
    this.runningVar = new Parameter({ shape, init: ones, buffer: true });
  }

  override forward(x: Tensor): Tensor {
    const { eps = 1e-5, momentum = 0.1 } = this.options;
    const { trace } = x;
    const owned = [this.weight, this.bias, this.runningMean, this.runningVar];
    const inputs = [x, ...owned.map((parameter) => trace.use(parameter))];
    if (!trace.training || trace.isFrozen(this.runningMean)) {
      return trace.emitOne('batchNormInference', inputs, { eps });
    }
    const [y, , , mean, variance] = trace.emit('batchNorm', inputs, { momentum, eps });
    trace.update(this.runningMean, mean!);
    trace.update(this.runningVar, variance!);
    return y!;
  }
}

export interface LinearOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** Default: PyTorch's, Kaiming uniform with a = √5. */
  readonly init?: Initialiser;
  /** Default: PyTorch's, in the same bounds. */
  readonly biasInit?: Initialiser;
}

/** y = x·weightᵀ + bias for features (N, in). */
export class Linear extends Module {
  readonly weight: Parameter; // (out, in)
  readonly bias: Parameter | undefined; // (out)

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: LinearOptions = {},
  ) {
    super();
    expectCounts('linear', { inFeatures, outFeatures });
    const { bias = true, init = pytorchDefault(inFeatures) } = options;
    const { biasInit = pytorchDefault(inFeatures) } = options;
    this.weight = new Parameter({ shape: [outFeatures, inFeatures], init });
    if (bias) this.bias = new Parameter({ shape: [outFeatures], init: biasInit });
  }

  override forward(x: Tensor): Tensor {
    const { trace } = x;
    const attributes = { transposeA: false, transposeB: true };
    const y = trace.emitOne('matmul', [x, trace.use(this.weight)], attributes);
    return this.bias ? trace.emitOne('addBias', [y, trace.use(this.bias)], {}) : y;
  }
}

/** Inverted dropout: see `dropout` in functional.ts. It has no parameters, and a place in a row. */
export class Dropout extends Module {
  constructor(private readonly options: DropoutOptions = {}) {
    super();
    const { p = 0.5 } = options;
    if (!(p >= 0 && p < 1)) throw invalid('dropout', 'p', 'at least 0 and below 1', p);
  }

  override forward(x: Tensor): Tensor {
    return dropped(x, this.options);
  }
}

/** A module, or a function without parameters such as `relu`. */
export type Layer = Module | ((x: Tensor) => Tensor);

/** Layers one after the other; their names are their positions, functions counted. */
export class Sequential extends Module {
  constructor(
    /** In their order, functions too. */
    readonly layers: readonly Layer[],
  ) {
    super();
    layers.forEach((layer, i) => {
      if (layer instanceof Module) Object.assign(this, { [i]: layer });
    });
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer(y), x);
  }
}

export const conv2d = (inChannels: number, outChannels: number, options: Conv2dOptions) =>
  new Conv2d(inChannels, outChannels, options);

export const batchNorm2d = (channels: number, options?: BatchNorm2dOptions) =>
  new BatchNorm2d(channels, options);

export const linear = (inFeatures: number, outFeatures: number, options?: LinearOptions) =>
  new Linear(inFeatures, outFeatures, options);

export const dropout = (options?: DropoutOptions) => new Dropout(options);

export const sequential = (...layers: Layer[]) => new Sequential(layers);

function expectCounts(layer: string, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) {
    if (!Number.isInteger(count) || count < 1) {
      throw invalid(layer, name, 'a whole number of at least 1', count);
    }
  }
}

function invalid(layer: string, name: string, wanted: string, value: number): PlusxError {
  return new PlusxError('option', `${layer}: ${name} must be ${wanted}, got ${value}`);
}
