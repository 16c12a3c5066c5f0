/**
 * The opcodes that are carried out, each a row: what it reads, takes from the stack and puts there.
 * Missing on purpose: INST, OBJ and NEWOBJ_EX (calls that no weights need), EXT1/2/4 (a registry of
 * the process), NEXT_BUFFER and READONLY_BUFFER (data outside of the file).
 */
import type { Machine } from './machine.js';
import { setState } from './numpy.js';
import { PickleFault, textOf } from './values.js';

type Operation = (m: Machine) => void;

const rows: Readonly<Record<string, Operation>> = {
  // Protocol and frames: of the file, not of the value
  '\x80': (m) => expectProtocol(m.uint8()),
  '\x95': (m) => void m.uint64(), // FRAME

  // Constants
  N: (m) => m.push(null),
  '\x88': (m) => m.push(true),
  '\x89': (m) => m.push(false),

  // Numbers
  K: (m) => m.push(m.uint8()), // BININT1
  M: (m) => m.push(m.uint16()), // BININT2
  J: (m) => m.push(m.int32()), // BININT
  G: (m) => m.push(m.float64()), // BINFLOAT
  '\x8a': (m) => m.push(m.integer(m.uint8())), // LONG1
  '\x8b': (m) => m.push(m.integer(m.uint32())), // LONG4
  I: (m) => {
    const line = m.line();
    m.push(line === '00' ? false : line === '01' ? true : m.decimal(line));
  },
  L: (m) => m.push(m.decimal(m.line())),
  F: (m) => m.push(float(m.line())),

  // Text
  X: (m) => m.push(m.text(m.uint32())), // BINUNICODE
  '\x8c': (m) => m.push(m.text(m.uint8())), // SHORT_BINUNICODE
  '\x8d': (m) => m.push(m.text(m.uint64())), // BINUNICODE8
  V: (m) => m.push(unescaped(m.line())), // UNICODE

  // Bytes; str of Python 2 is bytes that may be text
  U: (m) => m.push(m.slice(m.uint8())), // SHORT_BINSTRING
  T: (m) => m.push(m.slice(m.uint32())), // BINSTRING
  C: (m) => m.push(m.slice(m.uint8())), // SHORT_BINBYTES
  B: (m) => m.push(m.slice(m.uint32())), // BINBYTES
  '\x8e': (m) => m.push(m.slice(m.uint64())), // BINBYTES8
  '\x96': (m) => m.push(m.slice(m.uint64())), // BYTEARRAY8
  S: (m) => m.push(unquoted(m.line())), // STRING

  // Containers
  ')': (m) => m.push(m.newTuple([])),
  '\x85': (m) => m.push(m.newTuple([m.pop()])),
  '\x86': (m) => {
    const second = m.pop();
    m.push(m.newTuple([m.pop(), second]));
  },
  '\x87': (m) => {
    const third = m.pop();
    const second = m.pop();
    m.push(m.newTuple([m.pop(), second, third]));
  },
  t: (m) => m.push(m.newTuple(m.popMark())),
  ']': (m) => m.push(m.newList([])),
  l: (m) => m.push(m.newList(m.popMark())),
  '}': (m) => m.push(m.newDict([])),
  d: (m) => m.push(m.newDict(m.popMark())),
  '\x8f': (m) => m.push(m.newList([])), // EMPTY_SET; a set is a list here
  '\x91': (m) => m.push(m.newList(m.popMark())), // FROZENSET
  a: (m) => {
    const item = m.pop();
    m.append(m.top(), [item]);
  },
  e: (m) => {
    const items = m.popMark();
    m.append(m.top(), items);
  },
  '\x90': (m) => {
    const items = m.popMark();
    m.append(m.top(), items); // ADDITEMS
  },
  s: (m) => {
    const value = m.pop();
    const key = m.pop();
    m.setItems(m.top(), [key, value]);
  },
  u: (m) => {
    const items = m.popMark();
    m.setItems(m.top(), items);
  },

  // The stack and the memo
  '(': (m) => m.mark(),
  '0': (m) => m.discard(),
  '1': (m) => void m.popMark(),
  '2': (m) => m.push(m.top()),
  p: (m) => m.remember(Number(m.decimal(m.line()))),
  q: (m) => m.remember(m.uint8()),
  r: (m) => m.remember(m.uint32()),
  '\x94': (m) => m.remember(m.memo.size),
  g: (m) => m.recall(Number(m.decimal(m.line()))),
  h: (m) => m.recall(m.uint8()),
  j: (m) => m.recall(m.uint32()),

  // Names and what stands for calling them
  c: (m) => {
    const module = m.line();
    m.push(m.find(module, m.line()));
  },
  '\x93': (m) => {
    const name = textOf(m.pop(), 'a name');
    m.push(m.find(textOf(m.pop(), 'a module'), name));
  },
  R: (m) => {
    const args = m.pop();
    m.push(m.reduce(m.pop(), args));
  },
  '\x81': (m) => {
    const args = m.pop();
    m.push(m.reduce(m.pop(), args)); // NEWOBJ
  },
  b: (m) => {
    const state = m.pop();
    setState(m.top(), state);
  },
  Q: (m) => m.push(m.persistent(m.pop())),
};

/** By code; undefined where an opcode is not carried out. */
export const opcodes: readonly (Operation | undefined)[] = Array.from(
  { length: 256 },
  (_, code) => rows[String.fromCharCode(code)],
);

function expectProtocol(version: number): void {
  if (version <= 5) return;
  throw new PickleFault(`its protocol is ${version}, plusx reads those up to 5`);
}

function float(line: string): number {
  const value = Number(line);
  if (line.trim() === '' || Number.isNaN(value)) throw new PickleFault('a number is none');
  return value;
}

/** UNICODE of protocol 0: `\uXXXX`, `\UXXXXXXXX` and nothing else is an escape. */
function unescaped(line: string): string {
  return line.replace(/\\u([\da-fA-F]{4})/g, (_, code: string) =>
    String.fromCharCode(parseInt(code, 16)),
  );
}

/** STRING of protocol 0: Python's repr of a byte string. */
function unquoted(line: string): Uint8Array {
  const inner = /^(['"])(.*)\1$/s.exec(line)?.[2];
  if (inner === undefined) throw new PickleFault('a string has no quotes');
  const named: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };
  const text = inner.replace(/\\(x[\da-fA-F]{2}|.)/gs, (_, escape: string) =>
    escape.length === 3
      ? String.fromCharCode(parseInt(escape.slice(1), 16))
      : (named[escape] ?? escape),
  );
  return Buffer.from(text, 'latin1');
}
