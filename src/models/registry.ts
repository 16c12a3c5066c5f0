/** Models by name, for the command line and for checkpoints. */
import { closest } from 'fastest-levenshtein';
import { PlusxError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { resnet18, stems, type ResNetOptions, type Stem } from './resnet.js';

const registry: Readonly<Record<string, (options: ResNetOptions) => Module>> = { resnet18 };

export const modelNames: readonly string[] = Object.keys(registry);

export interface ModelOptions {
  /** At least 1. */
  readonly classes: number;
  /** Default: the model's own, `conv7x7`. */
  readonly stem?: Stem;
}

/** A new model, its weights not yet drawn; throws where the name or an option is unknown. */
export function createModel(name: string, { classes, stem }: ModelOptions): Module {
  const create = Object.hasOwn(registry, name) ? registry[name] : undefined;
  if (!create) throw unknown('model', name, modelNames);
  if (stem !== undefined && !stems.includes(stem)) throw unknown('stem', stem, stems);
  return create({ classes, ...(stem === undefined ? {} : { stem }) });
}

function unknown(what: string, name: string, known: readonly string[]): PlusxError {
  return new PlusxError(
    `unknown-${what}`,
    `${what} "${name}" is not known; did you mean "${closest(name, [...known])}"? ` +
      `Known: ${known.join(', ')}`,
    { name, known },
  );
}
