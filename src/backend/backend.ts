/**
 * Waist 3: the Backend. Compiles a Plan and runs it. Nothing above this file knows which one.
 */
import type { ConvAlgorithm, Plan, Slot } from '../plan/plan.js';

/** A tensor's data on the host, dense, in the slot's own layout; of bfloat16 the bits. */
export type TensorData = Float32Array | Uint16Array | Uint8Array | Int32Array;

/** Which of a plan's fusions a backend computes faster than their parts. */
export interface Fusions {
  /** Algorithms that compute relu(x·scale + shift) as they load x, forward and in the weight's pass. */
  readonly convPrologue: readonly ConvAlgorithm[];
  /** Algorithms that sum their outputs' statistics as they store them. */
  readonly convStatistics: readonly ConvAlgorithm[];
  /** Algorithms that add another gradient to the input's. */
  readonly convGradientSum: readonly ConvAlgorithm[];
  /** Algorithms whose weight's pass makes a batch normalisation's gradient as it loads dy. */
  readonly convNormGradient: readonly ConvAlgorithm[];
  /** Algorithms that normalise an image's bytes as they load them, forward and in the weight's pass. */
  readonly convNormalization: readonly ConvAlgorithm[];
  /** Algorithms of which both gradients are computed part by part of a batch: see `partNumbers`. */
  readonly convGradients: readonly ConvAlgorithm[];
  /** Whether convolutions add, and apply relu, as they store, on weights that were packed before. */
  readonly convInference: boolean;
}

/** What the planner may ask of a backend. */
export interface Capabilities {
  readonly convAlgorithms: readonly ConvAlgorithm[];
  /** Take the first of them that fits the shape, rather than the cheapest by estimate. */
  readonly convInOrder?: boolean;
  /** Choose convolutions forward as for any batch, so that an image's results do not depend on it. */
  readonly forAnyBatch?: boolean;
  /** Pixels, or tiles, that a register tile holds: blocks of them are cut into whole ones. Not stated: 14. */
  readonly tileRows?: number;
  /** What the planner may fuse; nothing where it is not stated. */
  readonly fusions?: Fusions;
  /**
   * Of how many numbers the gradient of a part is to be, to stay in the last cache from the step that makes
   * it to those that read it. By the plan, not by the machine: the bits depend on it.
   */
  readonly partNumbers?: number;
}

/** The highest rates that a machine reaches: the two lines of its roofline. */
export interface Peaks {
  /** Floating-point operations, a multiply-add counted as two. */
  readonly flopsPerSecond: number;
  /** Of main memory, read and written together. */
  readonly bytesPerSecond: number;
}

export type DeviceName = 'native' | 'wasm' | 'reference';

export interface Backend {
  readonly name: DeviceName;
  /** For people: `native (avx512, 2 threads)`. */
  readonly description: string;
  /** For records: `avx512-bf16`, `avx512`, `avx2`, `x86-64-v2`, `neon`, `wasm128-relaxed`, `typescript`. */
  readonly instructionSet: string;
  readonly threads: number;
  readonly capabilities: Capabilities;
  /** The most that an arena may take: of the machine or the container, or of what the engine addresses. */
  readonly memoryLimitBytes: number;

  /**
   * Makes a plan executable, its state zero. With `sharing`, both executables own one arena: the
   * same state (their layouts must agree, else `internal:` is thrown) and the same temporaries,
   * so they never run at the same time; the arena grows where the new plan is larger.
   */
  compile(plan: Plan, sharing?: Executable): Promise<Executable>;

  /** Measures the machine as this backend uses it: its threads, its instruction set. Half a second. */
  measurePeaks(): Promise<Peaks>;

  /** Stops the threads. Every executable of this backend is gone with it. */
  dispose(): Promise<void>;
}

export interface Executable {
  readonly plan: Plan;

  /** Writes every input of the plan and runs its steps, off the calling thread. */
  run(inputs: Readonly<Record<string, TensorData>>): Promise<void>;

  /** As `run`, with the same results; returns the seconds that each step of the plan took. */
  profile?(inputs: Readonly<Record<string, TensorData>>): Promise<Float64Array>;

  /** A copy of what a slot holds between runs. */
  read(slot: Slot): Promise<TensorData>;

  /** Replaces what a slot holds; throws where the length or the type differs. */
  write(slot: Slot, data: TensorData): Promise<void>;

  /** Frees the memory now rather than when the garbage collector finds it unused. */
  dispose(): Promise<void>;
}
