/**
 * Waist 2: the Plan. A flat list of steps, each a plain object, with every buffer's place in one
 * arena: forward, loss, backward and optimizer update of a whole training step. It is JSON.
 *
 * Algorithms and memory are decided before a Plan exists (`algorithms.ts`, `memory.ts`); a backend
 * only executes. Gradients are `d` + name. The output of an element-wise step (relu, reluBackward,
 * add, addBias, scaleShift, batchNormBackwardInput, sigmoid, sigmoidBackward, scaleChannels, dropout)
 * may be the very slot of one of its inputs, that of conv2dInference the slot of its residual. Shapes
 * in comments: N H W C K R S OH OW as in graph.ts.
 */
import type { DType, Shape } from '../graph/graph.js';
import type { ConvAttributes, NormGradient, Normalization, Prologue } from './conv-attributes.js';

export type { ConvAlgorithm, ConvCut, Normalization } from './conv-attributes.js';

/** A dense tensor's place in the arena. */
export interface Slot {
  /** Bytes from the arena's start; a multiple of `slotAlignment`. */
  readonly offset: number;
  readonly shape: Shape;
  readonly dtype: DType;
}

export const slotAlignment = 64;

interface Window {
  readonly kernelHeight: number; // R
  readonly kernelWidth: number; // S
  readonly stride: number;
  readonly padding: number;
}

interface AveragingWindow extends Window {
  /** Whether the padding's pixels count; those that a window has beyond them never do. */
  readonly countIncludePad: boolean;
}

export type Step =
  /** y = (x / 255 - mean) / std, in this order in fp32, as torchvision's ToTensor + Normalize. */
  | {
      readonly kind: 'normalizeImage';
      readonly x: Slot; // (N, H, W, C) u8
      readonly y: Slot; // (N, H, W, C)
      readonly mean: readonly number[]; // (C)
      readonly std: readonly number[]; // (C)
    }
  /**
   * y(n,oh,ow,k) = Σ x(n, oh·stride - padding + r, ow·stride - padding + s, g + c) weight(k,r,s,c), g
   * the first channel of k's group.
   */
  | ({
      readonly kind: 'conv2d';
      readonly x: Slot; // (N, H, W, C)
      readonly weight: Slot; // (K, R, S, C/groups)
      readonly y: Slot; // (N, OH, OW, K)
      /** Count, mean and sum of squared deviations of y for each block of outputs and channel. */
      readonly statistics: Slot | null; // (blocks, 3, K)
    } & Prologue &
      Normalization &
      ConvAttributes)
  /** packed = weight·scale, in the order in which the backend's convolutions read it. */
  | {
      readonly kind: 'packWeight';
      readonly weight: Slot; // (K, R, S, C)
      readonly scale: Slot | null; // (K)
      readonly packed: Slot; // (K up to 32s, R, S, C up to 16s, or four times that)
      readonly transformed: boolean; // as winograd multiplies it, at this stride
      readonly stride: number;
    }
  /** y = conv2d(x, weight) + shift (+ residual), relu or not. */
  | ({
      readonly kind: 'conv2dInference';
      readonly x: Slot; // (N, H, W, C)
      readonly weight: Slot; // as packWeight left it
      readonly transformed: boolean;
      readonly shift: Slot; // (K)
      readonly residual: Slot | null; // (N, OH, OW, K)
      readonly y: Slot; // (N, OH, OW, K)
      readonly relu: boolean;
    } & Normalization &
      ConvAttributes)
  /**
   * `other` is added: what has come to x by another way. dx may lie in its memory. Where the weight is
   * packed, the workspace still holds it as the step of other images packed it.
   */
  | ({
      readonly kind: 'conv2dBackwardInput';
      readonly dy: Slot; // (N, OH, OW, K)
      readonly weight: Slot; // (K, R, S, C/groups)
      readonly other: Slot | null; // (N, H, W, C)
      readonly dx: Slot; // (N, H, W, C)
      readonly weightPacked: boolean;
    } & ConvAttributes)
  /** Accumulated, it is added to what dweight has of other images. */
  | ({
      readonly kind: 'conv2dBackwardWeight';
      readonly x: Slot; // (N, H, W, C)
      readonly dy: Slot; // (N, OH, OW, K)
      readonly dweight: Slot; // (K, R, S, C/groups)
      readonly accumulate: boolean;
    } & Prologue &
      NormGradient &
      Normalization &
      ConvAttributes)
  /** y = a·b, either read transposed: a is (M, K) or (K, M), b is (K, N) or (N, K). */
  | {
      readonly kind: 'matmul';
      readonly a: Slot;
      readonly b: Slot;
      readonly y: Slot; // (M, N)
      readonly transposeA: boolean;
      readonly transposeB: boolean;
    }
  /** y = x + bias over the last axis. */
  | {
      readonly kind: 'addBias';
      readonly x: Slot; // (…, C)
      readonly bias: Slot; // (C)
      readonly y: Slot; // (…, C)
    }
  /** dbias(c) = Σ dy(…, c) */
  | {
      readonly kind: 'sumToChannels';
      readonly dy: Slot; // (…, C)
      readonly dbias: Slot; // (C)
    }
  /**
   * Batch normalisation in training, but for y = x·scale + shift: mean and biased variance over the M
   * = N·H·W values of a channel, from x or from the partial ones that its convolution left. invStd =
   * 1/√(var + eps), scale = invStd·weight, shift = bias - mean·scale. In place: running = (1 -
   * momentum)·running + momentum·statistic, with the unbiased variance var·M/(M - 1). With M = 1 the
   * variance is undefined and the running statistics stay.
   */
  | {
      readonly kind: 'batchNormStatistics';
      readonly x: Slot; // (…, C)
      readonly partials: Slot | null; // (blocks, 3, C)
      readonly weight: Slot; // (C)
      readonly bias: Slot; // (C)
      readonly runningMean: Slot; // (C), updated in place
      readonly runningVar: Slot; // (C), updated in place
      readonly scale: Slot; // (C)
      readonly shift: Slot; // (C)
      readonly mean: Slot; // (C)
      readonly invStd: Slot; // (C)
      readonly momentum: number;
      readonly eps: number;
    }
  /** scale = weight/√(runningVar + eps), shift = bias - runningMean·scale */
  | {
      readonly kind: 'batchNormFold';
      readonly weight: Slot; // (C)
      readonly bias: Slot; // (C)
      readonly runningMean: Slot; // (C)
      readonly runningVar: Slot; // (C)
      readonly scale: Slot; // (C)
      readonly shift: Slot; // (C)
      readonly eps: number;
    }
  /**
   * y = x·scale + shift (+ residual, or + residual·residualScale + residualShift, relu of it or not),
   * relu of all or not.
   */
  | {
      readonly kind: 'scaleShift';
      readonly x: Slot; // (…, C)
      readonly scale: Slot; // (C)
      readonly shift: Slot; // (C)
      readonly residual: Slot | null; // (…, C)
      readonly residualScale: Slot | null; // (C)
      readonly residualShift: Slot | null; // (C)
      readonly y: Slot; // (…, C)
      readonly relu: boolean;
      readonly residualRelu: boolean;
    }
  /**
   * With x̂ = (x - mean)·invStd over M values a channel, and g = dy, or dy where x·scale + shift > 0
   * and else 0: dbias = Σ g, dweight = Σ g·x̂, and
   * factors a = weight·invStd, slope = invStd·dweight/M, average = dbias/M. Running statistics do not
   * depend on x: slope = average = 0.
   */
  | {
      readonly kind: 'batchNormBackwardSums';
      readonly dy: Slot; // (…, C)
      readonly x: Slot; // (…, C)
      readonly weight: Slot; // (C)
      readonly mean: Slot; // (C)
      readonly invStd: Slot; // (C)
      readonly scale: Slot | null; // (C)
      readonly shift: Slot | null; // (C)
      readonly dweight: Slot; // (C)
      readonly dbias: Slot; // (C)
      readonly factors: Slot; // (3, C)
      readonly running: boolean;
    }
  /** The same for g = dy (+ other) where y > 0, else 0, which is stored. */
  | {
      readonly kind: 'reluBackwardSums';
      readonly dy: Slot; // (…, C)
      readonly y: Slot; // (…, C)
      readonly other: Slot | null; // (…, C)
      readonly x: Slot; // (…, C)
      readonly weight: Slot; // (C)
      readonly mean: Slot; // (C)
      readonly invStd: Slot; // (C)
      readonly g: Slot; // (…, C)
      readonly dweight: Slot; // (C)
      readonly dbias: Slot; // (C)
      readonly factors: Slot; // (3, C)
      readonly running: boolean;
    }
  /** dx = a·(g - average - slope·(x - mean)), g as above; stored into the caches, or as it pays. */
  | {
      readonly kind: 'batchNormBackwardInput';
      readonly dy: Slot; // (…, C)
      readonly x: Slot; // (…, C)
      readonly mean: Slot; // (C)
      readonly factors: Slot; // (3, C)
      readonly scale: Slot | null; // (C)
      readonly shift: Slot | null; // (C)
      readonly dx: Slot; // (…, C)
      readonly cached: boolean;
    }
  | { readonly kind: 'relu'; readonly x: Slot; readonly y: Slot }
  /** dx = dy (+ other) where y > 0, else 0. */
  | {
      readonly kind: 'reluBackward';
      readonly dy: Slot;
      readonly y: Slot;
      readonly other: Slot | null;
      readonly dx: Slot;
    }
  | { readonly kind: 'add'; readonly a: Slot; readonly b: Slot; readonly y: Slot }
  /** y = 1/(1 + e^-x) */
  | { readonly kind: 'sigmoid'; readonly x: Slot; readonly y: Slot }
  /** dx = dy·y·(1 - y) */
  | { readonly kind: 'sigmoidBackward'; readonly dy: Slot; readonly y: Slot; readonly dx: Slot }
  /** y(n,h,w,c) = x(n,h,w,c)·s(n,0,0,c) */
  | {
      readonly kind: 'scaleChannels';
      readonly x: Slot; // (N, H, W, C)
      readonly s: Slot; // (N, 1, 1, C)
      readonly y: Slot; // (N, H, W, C)
    }
  /** ds(n,0,0,c) = Σ dy(n,h,w,c)·x(n,h,w,c) */
  | {
      readonly kind: 'scaleChannelsBackward';
      readonly dy: Slot; // (N, H, W, C)
      readonly x: Slot; // (N, H, W, C)
      readonly ds: Slot; // (N, 1, 1, C)
    }
  /**
   * y(i) = x(i)·m, m = 0 where word i mod 4 of Philox 4×32-10 at counter (⌊i/4⌋, layer, step low, step
   * high) under the key is below p·2³², else 1/(1 - p) rounded to float32.
   */
  | {
      readonly kind: 'dropout';
      readonly x: Slot;
      readonly randomness: Slot; // (4) i32: key (2), step low, step high
      readonly y: Slot;
      readonly p: number;
      readonly layer: number;
    }
  /** y(n,oh,ow,k) = x(n, oh·stride, ow·stride, k - ⌊(K - C)/2⌋) where there is one, else 0. */
  | {
      readonly kind: 'identityShortcut';
      readonly x: Slot; // (N, H, W, C)
      readonly y: Slot; // (N, OH, OW, K)
      readonly stride: number;
    }
  | {
      readonly kind: 'identityShortcutBackward';
      readonly dy: Slot; // (N, OH, OW, K)
      readonly dx: Slot; // (N, H, W, C)
      readonly stride: number;
    }
  /** The largest value of each window; padding counts as -∞. */
  | ({ readonly kind: 'maxPool2d'; readonly x: Slot; readonly y: Slot } & Window)
  /** dy goes to the first largest value of each window in row-major order. */
  | ({
      readonly kind: 'maxPool2dBackward';
      readonly dy: Slot; // (N, OH, OW, C)
      readonly x: Slot; // (N, H, W, C)
      readonly dx: Slot; // (N, H, W, C)
    } & Window)
  /** The mean of each window: see `AveragingWindow` for what is counted. */
  | ({ readonly kind: 'avgPool2d'; readonly x: Slot; readonly y: Slot } & AveragingWindow)
  | ({
      readonly kind: 'avgPool2dBackward';
      readonly dy: Slot; // (N, OH, OW, C)
      readonly dx: Slot; // (N, H, W, C)
    } & AveragingWindow)
  /** y(n,i,j,c) = the mean of x over rows ⌊i·H/OH⌋ … ⌈(i+1)·H/OH⌉ - 1, and columns alike. */
  | {
      readonly kind: 'adaptiveAvgPool2d';
      readonly x: Slot; // (N, H, W, C)
      readonly y: Slot; // (N, OH, OW, C)
    }
  | {
      readonly kind: 'adaptiveAvgPool2dBackward';
      readonly dy: Slot; // (N, OH, OW, C)
      readonly dx: Slot; // (N, H, W, C)
    }
  /** (N, H, W, C) → (N, C, H, W), as PyTorch's flatten counts. */
  | { readonly kind: 'nhwcToNchw'; readonly x: Slot; readonly y: Slot }
  | { readonly kind: 'nchwToNhwc'; readonly x: Slot; readonly y: Slot }
  /** loss = mean over N of -log softmax(logits)(label), with the maximum subtracted first. */
  | {
      readonly kind: 'softmaxCrossEntropy';
      readonly logits: Slot; // (N, K)
      readonly labels: Slot; // (N) i32
      readonly loss: Slot; // (1)
    }
  /** dlogits = dloss·(softmax(logits) - onehot(labels))/N */
  | {
      readonly kind: 'softmaxCrossEntropyBackward';
      readonly dloss: Slot; // (1)
      readonly logits: Slot; // (N, K)
      readonly labels: Slot; // (N) i32
      readonly dlogits: Slot; // (N, K)
    }
  | { readonly kind: 'fill'; readonly y: Slot; readonly value: number }
  /**
   * g = dparameter + weightDecay·parameter; with momentum: velocity = momentum·velocity + g and
   * g = velocity (nesterov: g + momentum·velocity); parameter -= lr·g. In place.
   */
  | {
      readonly kind: 'sgd';
      readonly parameter: Slot;
      readonly dparameter: Slot;
      readonly velocity: Slot | null; // null without momentum
      readonly hyper: Slot; // (3): lr, and two that only adamW reads
      readonly momentum: number;
      readonly weightDecay: number;
      readonly nesterov: boolean;
    }
  /**
   * parameter -= lr·weightDecay·parameter; m = beta1·m + (1 - beta1)·g; v = beta2·v +
   * (1 - beta2)·g²; parameter -= lr/correction1 · m/(√v/√correction2 + eps). In place.
   */
  | {
      readonly kind: 'adamW';
      readonly parameter: Slot;
      readonly dparameter: Slot;
      readonly m: Slot;
      readonly v: Slot;
      readonly hyper: Slot; // (3): lr, correction1 = 1 - beta1^t, correction2 = 1 - beta2^t
      readonly beta1: number;
      readonly beta2: number;
      readonly eps: number;
      readonly weightDecay: number;
    };

export type StepKind = Step['kind'];

/** A step of one kind. */
export type StepOf<Kind extends StepKind> = Extract<Step, { readonly kind: Kind }>;

/** Where the state lies: the first `bytes` of the arena, alike in every plan of one model. */
export interface StateLayout {
  readonly bytes: number;
  readonly slots: Readonly<Record<string, Slot>>;
}

export interface Plan {
  readonly inputs: Readonly<Record<string, Slot>>;
  readonly outputs: Readonly<Record<string, Slot>>;
  readonly state: StateLayout;
  readonly steps: readonly Step[];
  /**
   * The first so many steps prepare: what they compute depends on the state alone, and nothing in
   * the plan overwrites it. A run may leave them out while the state and the arena are as the last
   * run of this plan left them. 0 where the plan changes its state.
   */
  readonly prepareSteps: number;
  /** The module path of each step, for printing and profiles; as long as `steps`. */
  readonly paths: readonly string[];
  /** State, inputs, outputs and temporaries together. */
  readonly arenaBytes: number;
  /**
   * Floating-point operations of each step by its definition (a convolution's: the direct sum), a
   * multiply-add counted as two; as long as `steps`. An algorithm may get by with fewer.
   */
  readonly stepFlops: readonly number[];
  /** The sum of `stepFlops`. */
  readonly flops: number;
}
