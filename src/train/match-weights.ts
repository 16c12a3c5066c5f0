/**
 * Weights of other programs, brought to a model's keys: prefixes that wrappers leave, names that
 * other definitions of the same network use, and what does not fit, said key by key.
 */
import { closest, distance } from 'fastest-levenshtein';
import { PlusxError } from '../errors.js';
import { quoted } from '../formats/limits.js';
import type { Weights } from '../formats/weights.js';
import { sameShape, type Shape } from '../graph/graph.js';
import type { Module } from '../nn/module.js';
import { fileShape, type StateDict, type StateTensor } from './state-dict.js';

/** A key whose tensor has another shape than the model's. */
export interface ShapeMismatch {
  /** Of the model. */
  readonly key: string;
  /** In PyTorch's layout, as `expected`. */
  readonly found: Shape;
  readonly expected: Shape;
}

export interface WeightMatch {
  /** What fits, by the model's keys. */
  readonly state: StateDict;
  /** The model's keys that the file does not have. */
  readonly missing: readonly string[];
  /** The file's keys that the model does not have. */
  readonly extra: readonly string[];
  readonly mismatched: readonly ShapeMismatch[];
  /** What was done to the names, for people. */
  readonly notes: readonly string[];
}

/** Put before every key by DataParallel, torch.compile and training frameworks. */
const wrapperPrefixes = ['module.', '_orig_mod.', 'model.', 'net.', 'module._orig_mod.'];

/**
 * Names of the same layer elsewhere: `linear` and `shortcut` in the usual CIFAR ResNets. torchvision
 * and timm agree on the names of ResNets.
 */
const aliases: readonly (readonly [RegExp, string])[] = [
  [/^(?:linear|classifier|head)\./, 'fc.'],
  [/\.shortcut\./, '.downsample.'],
];

/**
 * What no model asks for: the moments in checkpoints of plusx, and PyTorch's counter of batches, which
 * is a float in files that were converted as a whole.
 */
const passedOver = /^optimizer\.|(^|\.)num_batches_tracked$/;

/**
 * Finds each of the model's tensors in a file's. What does not fit is returned, not thrown:
 * `expectMatch` throws it. Throws PlusxError `weights-not-finite` where a tensor that fits holds NaN
 * or infinity.
 */
export function matchWeights({ file, state: found }: Weights, model: Module): WeightMatch {
  const wanted = model.namedParameters();
  const keys = [...found.keys()].filter((key) => !passedOver.test(key));
  const prefix = bestPrefix(keys, wanted);
  const state: StateDict = new Map();
  const extra: string[] = [];
  const renamed: [string, string][] = [];
  const mismatched: ShapeMismatch[] = [];
  const seen = new Set<string>();
  for (const key of keys) {
    const bare = key.startsWith(prefix) ? key.slice(prefix.length) : key;
    const own = ownKey(bare, wanted);
    const parameter = wanted.get(own);
    if (!parameter || seen.has(own)) {
      extra.push(key);
      continue;
    }
    seen.add(own);
    if (own !== bare) renamed.push([bare, own]);
    const tensor = found.get(key)!;
    const expected = fileShape(parameter.shape);
    if (!sameShape(tensor.shape, expected)) {
      mismatched.push({ key: own, found: tensor.shape, expected });
      continue;
    }
    expectFinite(file, key, tensor);
    state.set(own, tensor);
  }
  const missing = [...wanted.keys()].filter((key) => !seen.has(key));
  return { state, missing, extra, mismatched, notes: notesOn(prefix, renamed) };
}

/** Throws PlusxError `weights-mismatch` with all that does not fit; `model` names it in words. */
export function expectMatch(match: WeightMatch, file: string, model: string): void {
  const { missing, extra, mismatched } = match;
  const lines = [
    ...listed(mismatched, 'has another shape', 'have other shapes', ({ key, found, expected }) => {
      return `${quoted(key)}: the file has [${found.join(',')}], the model expects [${expected.join(',')}]`;
    }),
    ...listed(missing, 'is missing', 'are missing', (key) => {
      const near = nearest(key, extra);
      return quoted(key) + (near === undefined ? '' : ` (the file has ${quoted(near)})`);
    }),
    ...listed(extra, 'is one too many', 'are too many', quoted),
  ];
  if (lines.length === 0) return;
  throw new PlusxError(
    'weights-mismatch',
    `${file} does not fit ${model}:\n${lines.join('\n')}\nname the model and the options (classes, ` +
      'stem, shortcut) with which the weights were trained',
    { file, missing, extra, mismatched },
  );
}

/** What is put before the keys, so that the most of them are the model's; mostly nothing. */
function bestPrefix(keys: readonly string[], wanted: ReadonlyMap<string, unknown>): string {
  let best = '';
  let most = 0;
  for (const prefix of ['', ...commonPrefixes(keys), ...wrapperPrefixes]) {
    let hits = 0;
    for (const key of keys) {
      if (key.startsWith(prefix) && wanted.has(ownKey(key.slice(prefix.length), wanted))) hits++;
    }
    if (hits > most) [best, most] = [prefix, hits];
  }
  return best;
}

/** `a.`, `a.b.`: the beginnings, up to four names, that all keys have in common. */
function commonPrefixes([first = '', ...rest]: readonly string[]): string[] {
  const prefixes: string[] = [];
  for (let dot = first.indexOf('.'); dot >= 0 && prefixes.length < 4;) {
    const prefix = first.slice(0, dot + 1);
    if (!rest.every((key) => key.startsWith(prefix))) break;
    prefixes.push(prefix);
    dot = first.indexOf('.', dot + 1);
  }
  return prefixes;
}

/** The model's name for a key; the key itself where there is none. */
function ownKey(key: string, wanted: ReadonlyMap<string, unknown>): string {
  if (wanted.has(key)) return key;
  let own = key;
  for (const [pattern, name] of aliases) own = own.replace(pattern, name);
  return wanted.has(own) ? own : key;
}

function expectFinite(file: string, key: string, { data }: StateTensor): void {
  let bad = 0;
  for (const value of data) if (!Number.isFinite(value)) bad++;
  if (bad === 0) return;
  throw new PlusxError(
    'weights-not-finite',
    `${file}: ${quoted(key)} holds NaN or infinity in ${bad} of its ${data.length} numbers; the ` +
      'training that wrote it diverged: take an earlier checkpoint of it',
    { file, key, count: bad },
  );
}

function notesOn(prefix: string, renamed: readonly (readonly [string, string])[]): string[] {
  const notes = prefix === '' ? [] : [`prefix ${quoted(prefix)} removed`];
  if (renamed.length > 0) {
    const shown = renamed.slice(0, 2).map(([from, to]) => `${quoted(from)} is ${quoted(to)} here`);
    const more = renamed.length > 2 ? ` and ${renamed.length - 2} more` : '';
    notes.push(shown.join(', ') + more);
  }
  return notes;
}

const shownKeys = 3;

/** A line with the count and the first few. */
function listed<T>(
  items: readonly T[],
  one: string,
  many: string,
  text: (item: T) => string,
): string[] {
  if (items.length === 0) return [];
  const shown = items.slice(0, shownKeys).map(text);
  const more = items.length > shownKeys ? `, and ${items.length - shownKeys} more` : '';
  const count = items.length === 1 ? `1 key ${one}` : `${items.length} keys ${many}`;
  return [`${count}: ${shown.join(', ')}${more}`];
}

/** The most similar of `keys`, where it is similar at all; of very many or very long ones none. */
function nearest(key: string, keys: readonly string[]): string | undefined {
  const short = keys.slice(0, 1000).filter((each) => each.length <= 200);
  if (short.length === 0) return undefined;
  const near = closest(key, short);
  return distance(key, near) <= key.length / 2 ? near : undefined;
}
