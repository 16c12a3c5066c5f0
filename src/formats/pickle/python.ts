/** The standard library's part of the allow-list: containers, and bytes written as text. */
import {
  Constructor,
  Dict,
  nameOf,
  PickleFault,
  setItem,
  Tuple,
  type Call,
  type PickleValue,
} from './values.js';

/** `OrderedDict()`, `OrderedDict([(key, value), …])`, `dict({…})`. */
const dict: Call = ([content], charge) => {
  const made = new Dict();
  if (content === undefined) return made;
  if (content instanceof Dict) {
    charge(64 * content.entries.size);
    for (const [key, value] of content.entries) setItem(made, key, value);
    return made;
  }
  if (!Array.isArray(content)) throw new PickleFault(`a dict is made of ${nameOf(content)}`);
  charge(64 * content.length);
  for (const pair of content) {
    const items = pair instanceof Tuple ? pair.items : Array.isArray(pair) ? pair : [];
    if (items.length !== 2) throw new PickleFault('a dict is made of other than pairs');
    setItem(made, items[0]!, items[1]!);
  }
  return made;
};

const list: Call = ([content], charge) => {
  if (content === undefined) return [];
  const items = content instanceof Tuple ? content.items : content;
  if (!Array.isArray(items)) throw new PickleFault(`a list is made of ${nameOf(content)}`);
  charge(64 + 8 * items.length);
  return [...(items as readonly PickleValue[])];
};

/** `_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes. */
const encode: Call = ([text, encoding], charge) => {
  if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1')) {
    throw new PickleFault('_codecs.encode is called with other than text and "latin1"');
  }
  charge(128 + text.length);
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 255) throw new PickleFault('bytes are written as text beyond latin1');
  }
  return Buffer.from(text, 'latin1');
};

/** `bytearray(b"…")`, `bytearray("…", "latin-1")`, `bytes()`. */
const bytes: Call = ([content, encoding], charge) => {
  if (content === undefined) return new Uint8Array(0);
  return content instanceof Uint8Array ? content : encode([content, encoding ?? null], charge);
};

/** int, float, bool and str stand for a value that is one already. */
const plain: Call = ([value = 0]) => {
  if (value !== null && typeof value !== 'object') return value;
  throw new PickleFault(`a number is made of ${nameOf(value)}`);
};

const calls: readonly (readonly [string, Call])[] = [
  ['collections.OrderedDict', dict],
  ['collections.Counter', dict],
  [
    'collections.defaultdict',
    ([, content], charge) => dict(content === undefined ? [] : [content], charge),
  ],
  ['argparse.Namespace', () => new Dict()],
  ['_codecs.encode', encode],
  // `builtins` was `__builtin__` in Python 2
  ...['builtins', '__builtin__'].flatMap((module) =>
    (
      [
        ['dict', dict],
        ['list', list],
        ['set', list],
        ['frozenset', list],
        ['bytes', bytes],
        ['bytearray', bytes],
        ['int', plain],
        ['float', plain],
        ['bool', plain],
        ['str', plain],
      ] as const
    ).map(([name, call]) => [`${module}.${name}`, call] as const),
  ),
];

/** By Python's name. */
export const pythonNames: ReadonlyMap<string, PickleValue> = new Map(
  calls.map(([name, call]) => [name, new Constructor(name, call)]),
);
