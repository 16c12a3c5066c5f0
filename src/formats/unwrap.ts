/**
 * Finds the state dict in what a pickle holds: training scripts save it inside of a dict, beside the
 * epoch, the optimizer and the accuracy.
 */
import { PlusxError } from '../errors.js';
import { quoted } from './limits.js';
import { Dict, nameOf, NumpyArray, TorchTensor, type PickleValue } from './pickle/values.js';

/** What training scripts call the weights, the ones to be preferred first. */
const wrappers = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'net',
  'network',
  'params',
  'weights',
  'state_dict_ema',
  'model_ema',
  'ema_state_dict',
  'ema',
];

const deepest = 4;

/** Entries beside the weights that are shown, and letters of each. */
const shownEntries = 50;
const shownLetters = 200;

export interface Unwrapped {
  readonly tensors: ReadonlyMap<string, TorchTensor | NumpyArray>;
  /** The way to them, `state_dict`; empty where the file holds nothing else. */
  readonly entry: string;
  /** Entries that would have done as well, by name. */
  readonly others: readonly string[];
  /** Entries of the state dict that are no tensors. */
  readonly leftOut: readonly string[];
  /** Numbers and text beside it: the epoch, the accuracy. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** `wanted` names the entry to take, `ema` or `model.ema`; throws where there is none. */
export function findStateDict(root: PickleValue, file: string, wanted?: string): Unwrapped {
  let dict = expectDict(root, file);
  const { way, others } =
    wanted === undefined ? likeliest(dict) : { way: wanted.split('.'), others: [] };
  const metadata: Record<string, string> = {};
  describe(dict, metadata);
  for (const [i, name] of way.entries()) {
    const next = dict.get(name);
    if (!(next instanceof Dict)) throw noEntry(file, way.slice(0, i + 1).join('.'), dict);
    dict = next;
    describe(dict, metadata);
  }
  const tensors = new Map<string, TorchTensor | NumpyArray>();
  const leftOut: string[] = [];
  for (const [key, value] of dict.entries) {
    if (typeof key === 'string' && isTensor(value)) tensors.set(key, value);
    else leftOut.push(typeof key === 'string' ? key : nameOf(key));
  }
  if (tensors.size === 0) throw noTensors(file, dict);
  return { tensors, entry: way.join('.'), others, leftOut, metadata };
}

/** The way to the weights, and the other ones that could have been taken. */
function likeliest(root: Dict) {
  const way: string[] = [];
  const others: string[] = [];
  for (let dict = root; way.length < deepest;) {
    const [name, ...rest] = innerNames(dict);
    if (name === undefined) break;
    others.push(...rest.map((each) => [...way, each].join('.')));
    way.push(name);
    dict = dict.get(name) as Dict;
  }
  return { way, others };
}

const isTensor = (value: PickleValue) =>
  value instanceof TorchTensor || value instanceof NumpyArray;

function holdsTensors(value: PickleValue | undefined): boolean {
  if (!(value instanceof Dict)) return false;
  for (const entry of value.entries.values()) if (isTensor(entry)) return true;
  return false;
}

/** Where the weights may be, the likeliest first; nowhere below where they are here. */
function innerNames(dict: Dict): readonly string[] {
  const known = wrappers.filter((name) => {
    const value = dict.get(name);
    return holdsTensors(value) || (value instanceof Dict && innerNamesOnce(value).length > 0);
  });
  if (known.length > 0 || holdsTensors(dict)) return known;
  return [...dict.entries.keys()].filter(
    (key) => typeof key === 'string' && holdsTensors(dict.get(key)),
  ) as string[];
}

const innerNamesOnce = (dict: Dict) => wrappers.filter((name) => holdsTensors(dict.get(name)));

/** Keeps what is short and plain: numbers and text. */
function describe(dict: Dict, metadata: Record<string, string>): void {
  for (const [key, value] of dict.entries) {
    if (Object.keys(metadata).length >= shownEntries) return;
    if (typeof key !== 'string' || key === '__proto__' || key.length > shownLetters) continue;
    if (typeof value === 'string') metadata[key] = value.slice(0, shownLetters);
    else if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') {
      metadata[key] = String(value);
    }
  }
}

function expectDict(root: PickleValue, file: string): Dict {
  if (root instanceof Dict) return root;
  throw new PlusxError(
    'checkpoint-format',
    `${file} holds ${nameOf(root)}, not a dict of tensors by name; save them in PyTorch: ` +
      'torch.save(model.state_dict(), "weights.pth")',
    { file },
  );
}

function noEntry(file: string, entry: string, dict: Dict): PlusxError {
  return new PlusxError(
    'checkpoint-entry',
    `${file} has no dict ${quoted(entry)}; there it has ${names(dict)}`,
    { file, entry },
  );
}

function noTensors(file: string, dict: Dict): PlusxError {
  return new PlusxError(
    'checkpoint-empty',
    `${file} holds no tensors by name: it has ${names(dict)}; name a file that ` +
      'torch.save(model.state_dict(), …) wrote',
    { file },
  );
}

/** The first keys of a dict, for people. */
function names(dict: Dict): string {
  const keys = [...dict.entries].slice(0, 8);
  const shown = keys.map(
    ([key, value]) => `${typeof key === 'string' ? quoted(key) : nameOf(key)} (${nameOf(value)})`,
  );
  const more =
    dict.entries.size > keys.length ? ` and ${dict.entries.size - keys.length} more` : '';
  return (shown.join(', ') || 'nothing') + more;
}
