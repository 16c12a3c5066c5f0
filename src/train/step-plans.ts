/**
 * The plans of which a training step is made, and what they cost: one plan, or, where memory is
 * short, micro-batches one after the other whose gradients are added up before the one update.
 *
 * A network without batch-norm then learns as from the whole batch, but for rounding. Batch-norms
 * see a micro-batch at a time and update their running statistics after each, as PyTorch's do.
 */
import type { Capabilities } from '../backend/backend.js';
import type { Module } from '../nn/module.js';
import { compilePlan, layOutState } from '../plan/compile.js';
import type { Plan, StateLayout } from '../plan/plan.js';
import type { Precision } from '../plan/precision.js';
import {
  clearGraph,
  evaluationGraph,
  gradientPrefix,
  microBatchGraph,
  trainingGraph,
  updateGraph,
  type TrainingGraphOptions,
} from './training-graph.js';

export interface StepOptions extends TrainingGraphOptions {
  /** Micro-batches in which the `batchSize` images of a step are computed; 1 for a single plan. */
  readonly accumulate: number;
  /** Of the maps in training; evaluation is always in float32. */
  readonly precision: Precision;
}

const graphs = {
  step: trainingGraph,
  clear: clearGraph,
  microBatch: microBatchGraph,
  update: updateGraph,
} as const;

export type StepPart = keyof typeof graphs;

/** What a training step costs, known before anything runs. */
export interface Forecast {
  /** Numbers of the model that can be trained. */
  readonly parameters: number;
  /** Those among them that are: all but the frozen ones. */
  readonly trainedParameters: number;
  /** Floating-point operations of a step, a multiply-add counted as two. */
  readonly flopsPerStep: number;
  /** The arena: weights, moments, activations, gradients, scratch, weights packed for evaluation. */
  readonly arenaBytes: number;
  /** Weights, running statistics and moments, of which a checkpoint is a copy. */
  readonly stateBytes: number;
}

/** A forecast by a process that holds its images already. */
export interface ProcessForecast extends Forecast {
  /** Largest resident size of the whole process: program, images, arena, copies of the state. */
  readonly peakMemoryBytes: number;
}

export class StepPlans {
  /** The same in every plan, sums of gradients included where there are micro-batches. */
  readonly state: StateLayout;

  private readonly options: StepOptions;

  constructor(
    private readonly model: Module,
    options: StepOptions,
    private readonly capabilities: Capabilities,
  ) {
    const accumulates = options.accumulate > 1;
    this.options = accumulates ? withUnseen(model, options) : options;
    this.state = layOutState((accumulates ? updateGraph : trainingGraph)(model, this.options));
  }

  /** Images that are computed at a time, at most. */
  get microBatch(): number {
    return Math.ceil(this.options.batchSize / this.options.accumulate);
  }

  /** A part of a training step; `images` are those of the batch or micro-batch. */
  plan(part: StepPart, images = this.microBatch): Plan {
    const graph = graphs[part](this.model, { ...this.options, batchSize: images });
    return compilePlan(graph, this.capabilities, this.state, this.options.precision);
  }

  evaluation(): Plan {
    const graph = evaluationGraph(this.model, { ...this.options, batchSize: this.microBatch });
    return compilePlan(graph, this.capabilities, this.state);
  }

  /** The sizes of the micro-batches of a batch: as few as fit, as equal as can be. */
  cut(images: number): number[] {
    const count = Math.ceil(images / this.microBatch);
    const edge = (i: number) => Math.floor((i * images) / count);
    return Array.from({ length: count }, (_, i) => edge(i + 1) - edge(i));
  }

  forecast(): Forecast {
    const { accumulate, batchSize, frozen } = this.options;
    const sizes = this.cut(batchSize);
    const part = accumulate > 1 ? 'microBatch' : 'step';
    const plans = new Map([...new Set(sizes)].map((size) => [size, this.plan(part, size)]));
    const others = accumulate > 1 ? [this.plan('clear'), this.plan('update')] : [];
    others.push(this.evaluation());
    return {
      parameters: this.model.parameterCount(),
      trainedParameters: this.model.parameterCount(frozen),
      flopsPerStep: sizes.reduce((sum, size) => sum + plans.get(size)!.flops, 0),
      arenaBytes: Math.max(...[...plans.values(), ...others].map((plan) => plan.arenaBytes)),
      stateBytes: this.state.bytes,
    };
  }
}

/** Parameters that the loss does not depend on are not updated either: they count as frozen. */
function withUnseen(model: Module, options: StepOptions): StepOptions {
  const { updates } = microBatchGraph(model, { ...options, batchSize: 1 });
  const unseen = [...model.namedParameters()]
    .filter(([key, { buffer }]) => !buffer && !updates.has(`${gradientPrefix}${key}`))
    .map(([key]) => key);
  return { ...options, frozen: new Set([...(options.frozen ?? []), ...unseen]) };
}
