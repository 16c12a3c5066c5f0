/**
 * Which parts of a network stay as they are while the rest is trained, and which part is its head.
 * Parts are the model's own properties in the order in which it defines and applies them:
 * conv1, bn1, layer1 … fc.
 */
import { PlusxError } from '../errors.js';
import { Linear } from '../nn/layers.js';
import type { Module } from '../nn/module.js';
import type { TrainingGraphOptions } from './training-graph.js';

/** `stem`: all before layer1. `layerN`: all up to it and including it. `backbone`: all but the head. */
export const freezeChoices = ['none', 'stem', 'layer1', 'layer2', 'layer3', 'backbone'] as const;

export type Freeze = (typeof freezeChoices)[number];

export interface FineTuning {
  readonly freeze: Freeze;
  /** Batch-norms normalise by their running statistics everywhere and leave those as they are. */
  readonly freezeStatistics: boolean;
  /** Learning rate of the head; null for that of the rest. */
  readonly headLr: number | null;
  readonly lr: number;
}

/** The path of the last linear layer, which says how many classes there are: `fc`, `classifier.6`. */
export function headPath(model: Module): string {
  const linear = [...model.namedModules()].filter(([, module]) => module instanceof Linear);
  const last = linear.at(-1);
  if (last) return last[0];
  throw new PlusxError(
    'no-head',
    'the model has no linear layer, so it is not known what its head is; ' +
      'leave out the options of fine-tuning',
  );
}

/** The state-dict keys of the head. */
export function headKeys(model: Module): Set<string> {
  const head = headPath(model);
  return new Set([...model.namedParameters().keys()].filter((key) => isBelow(key, head)));
}

/** What a session is told of frozen parts and of the head's learning rate. */
export function fineTuningOptions(
  model: Module,
  { freeze, freezeStatistics, headLr, lr }: FineTuning,
): Pick<TrainingGraphOptions, 'frozen' | 'head'> {
  const frozen = frozenKeys(model, freeze);
  if (freezeStatistics) for (const key of statisticsKeys(model)) frozen.add(key);
  return {
    ...(frozen.size > 0 ? { frozen } : {}),
    ...(headLr === null ? {} : { head: { keys: headKeys(model), lrFactor: headLr / lr } }),
  };
}

/** The state-dict keys of all that `freeze` freezes; throws where the model has no such part. */
export function frozenKeys(model: Module, freeze: Freeze): Set<string> {
  const keys = [...model.namedParameters().keys()];
  if (freeze === 'none') return new Set();
  if (freeze === 'backbone') {
    const head = headPath(model);
    return new Set(keys.filter((key) => !isBelow(key, head)));
  }
  const parts = [...new Set(keys.map(partOf))];
  const stemEnd = parts.indexOf('layer1');
  const end = freeze === 'stem' ? stemEnd : parts.indexOf(freeze) + 1;
  if (stemEnd < 0 || end < 1) {
    throw new PlusxError(
      'option',
      `freeze: the model has no ${freeze}, its parts are ${parts.join(', ')}; ` +
        'use --freeze backbone, or none',
      { freeze, parts },
    );
  }
  const frozen = new Set(parts.slice(0, end));
  return new Set(keys.filter((key) => frozen.has(partOf(key))));
}

function statisticsKeys(model: Module): string[] {
  const entries = [...model.namedParameters()];
  return entries.filter(([, { buffer }]) => buffer).map(([key]) => key);
}

const partOf = (key: string) => key.split('.')[0]!;

const isBelow = (key: string, path: string) => key.startsWith(`${path}.`);
