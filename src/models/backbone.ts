/**
 * What every network of this room is: stages, after each of which the resolution falls, and a head
 * that classifies what the last one found.
 *
 * Detection and segmentation take the stages' outputs without the head. They are called as in
 * Feature Pyramid Networks (Lin et al. 2016, arXiv 1612.03144): Ck is what the network's paper calls
 * conv k, or the last layer of its group conv k_x, before anything is pooled.
 */
import { PlusxError } from '../errors.js';
import { Module } from '../nn/module.js';
import type { Layer } from '../nn/layers.js';
import type { Tensor } from '../nn/tensor.js';

export type StageName = 'C1' | 'C2' | 'C3' | 'C4' | 'C5';

export interface Stage {
  /** Pixels of the image between two neighbours of the output. */
  readonly stride: number;
  readonly channels: number;
}

export interface StageOutput extends Stage {
  /** (N, H/stride, W/stride, channels), the sizes rounded as the layers round them. */
  readonly tensor: Tensor;
}

/** A network; `Name` says which stages it has as far as the compiler knows. */
export abstract class Backbone<Name extends StageName = never> extends Module {
  /** In their order; known as soon as the network is made, as heads of one's own need it. */
  abstract readonly stages: Readonly<Named<Name, Stage>>;

  /** The output of each stage, computed when it is asked for. */
  abstract outputs(x: Tensor): Generator<Tensor, void>;

  /** From the last stage's output to logits (N, classes). */
  abstract head(x: Tensor): Tensor;

  override forward(x: Tensor): Tensor {
    let y = x;
    for (const output of this.outputs(x)) y = output;
    return this.head(y);
  }
}

type Named<Name extends StageName, T> = Record<Name, T> & Partial<Record<StageName, T>>;

/**
 * The outputs of a network's stages by name, for the `forward` of a module that owns the network:
 * `const { C4, C5 } = features(this.backbone, x)`. The head is not computed, nor what lies behind
 * the last stage that is wanted; training leaves their parameters as they are. `wanted` is all
 * stages by default; throws `unknown-stage` for one that the network does not have.
 */
export function features<Wanted extends StageName>(
  network: Backbone,
  x: Tensor,
  wanted: readonly Wanted[],
): Readonly<Record<Wanted, StageOutput>>;
export function features<Name extends StageName>(
  network: Backbone<Name>,
  x: Tensor,
): Readonly<Named<Name, StageOutput>>;
export function features(
  network: Backbone,
  x: Tensor,
  wanted: readonly StageName[] = Object.keys(network.stages) as StageName[],
): Readonly<Record<string, StageOutput>> {
  const stages = Object.entries(network.stages) as [StageName, Stage][];
  const missing = wanted.find((name) => !network.stages[name]);
  if (missing !== undefined) {
    const known = stages.map(([name]) => name);
    throw new PlusxError(
      'unknown-stage',
      `features: the network has no stage ${missing}; it has ${known.join(', ')}`,
      { stage: missing, known },
    );
  }
  const last = stages.findLastIndex(([name]) => wanted.includes(name));
  const found: Record<string, StageOutput> = {};
  const outputs = network.outputs(x);
  for (const [name, stage] of stages.slice(0, last + 1)) {
    const tensor = outputs.next().value;
    if (!tensor) throw new Error(`internal: ${name} has no output`);
    if (wanted.includes(name)) found[name] = { ...stage, tensor };
  }
  return found;
}

/** Layers in a row; what comes before each of the layers `pool` is the output of a stage. */
export function* outputsBefore(
  pool: Layer,
  layers: readonly Layer[],
  x: Tensor,
): Generator<Tensor, void> {
  let y = x;
  for (const layer of layers) {
    if (layer === pool) yield y;
    y = layer(y);
  }
}
