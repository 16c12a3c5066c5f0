/**
 * A reader of pickles that executes nothing. A pickle is a program for a small stack machine; this
 * one knows the opcodes that move data about (protocols 0 to 5), and for the others only their
 * absence. Whatever a pickle wants called is looked up in an allow-list of constructors, each of
 * which builds inert data.
 *
 * Memory is counted: every object a pickle makes is charged to a budget of 1 MiB and 32 bytes a
 * byte. Source: CPython, Lib/pickletools.py, the descriptions of the opcodes.
 */
import { PlusxError } from '../../errors.js';
import { MemoryBudget, quoted } from '../limits.js';
import { opcodes } from './opcodes.js';
import {
  Constructor,
  Dict,
  longestText,
  nameOf,
  PickleFault,
  setItem,
  Tuple,
  type PickleValue,
} from './values.js';

export interface PickleOptions {
  /** What errors call the file. */
  readonly file: string;
  /** The allow-list: what stands for a Python name; undefined where there is nothing. */
  readonly names: (name: string) => PickleValue | undefined;
  /** What stands for an object outside of the pickle. Default: there is none. */
  readonly persistent?: (id: PickleValue) => PickleValue;
}

export interface Unpickled {
  readonly value: PickleValue;
  /** The byte after the pickle. */
  readonly end: number;
}

/** Bytes of memory that a byte of a pickle may cost. */
const memoryFactor = 32;

/** Decimal digits or bytes of a whole number; the longest one in use is PyTorch's magic number. */
const longestInteger = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A line of a protocol 0 pickle. */
const longestLine = 2 ** 16;

/**
 * The value of the pickle that begins at byte `start`. Throws PlusxError `checkpoint-unsafe` naming
 * the constructor that is not on the list, `checkpoint-truncated`, `checkpoint-malformed`, or
 * `checkpoint-limit`.
 */
export function unpickle(bytes: Uint8Array, start: number, options: PickleOptions): Unpickled {
  const machine = new Machine(bytes, start, options);
  try {
    return machine.run();
  } catch (error) {
    if (error instanceof PickleFault) throw machine.explain(error);
    throw error;
  }
}

export class Machine {
  readonly memo = new Map<number, PickleValue>();
  private stack: PickleValue[] = [];
  /** Where in the stack each open MARK stands. */
  private readonly marks: number[] = [];
  private readonly view: DataView;
  private readonly budget: MemoryBudget;
  /** Of the opcode being carried out, for errors. */
  private opcodeAt = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private at: number,
    private readonly options: PickleOptions,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.budget = new MemoryBudget(options.file, bytes.length - at, memoryFactor);
  }

  run(): Unpickled {
    for (;;) {
      this.opcodeAt = this.at;
      const code = this.uint8();
      if (code === 0x2e) return { value: this.pop(), end: this.at };
      const operation = opcodes[code];
      if (!operation) throw new PickleFault(`opcode ${code} is none that plusx carries out`);
      operation(this);
    }
  }

  explain({ reason, asksFor }: PickleFault): PlusxError {
    const { file } = this.options;
    if (asksFor !== undefined) {
      return new PlusxError(
        'checkpoint-unsafe',
        `${file}: the pickle in it asks for ${quoted(asksFor)}, which plusx does not build: nothing ` +
          'in a file is ever executed. Weights need no such thing; if this is a whole model of ' +
          'yours, save its tensors alone in PyTorch: torch.save(model.state_dict(), "weights.pth")',
        { file, asksFor },
      );
    }
    return malformedPickle(file, `at byte ${this.opcodeAt}, ${reason}`);
  }

  // The stack

  push(value: PickleValue): void {
    this.stack.push(value);
  }

  pop(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) {
      throw new PickleFault('a value is taken where there is none');
    }
    return this.stack.pop()!;
  }

  /** The value on top, which stays. */
  top(): PickleValue {
    const value = this.pop();
    this.stack.push(value);
    return value;
  }

  mark(): void {
    this.charge(8);
    this.marks.push(this.stack.length);
  }

  /** All values since the last mark, which goes. */
  popMark(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw new PickleFault('a mark is taken where there is none');
    const items = this.stack.splice(mark);
    this.charge(8 * items.length);
    return items;
  }

  /** POP takes a value, or the mark where there is none above it. */
  discard(): void {
    if (this.marks.at(-1) === this.stack.length) this.marks.pop();
    else this.pop();
  }

  // Objects

  newList(items: PickleValue[]): PickleValue[] {
    this.charge(64);
    return items;
  }

  newTuple(items: readonly PickleValue[]): Tuple {
    this.charge(64 + 8 * items.length);
    return new Tuple(items);
  }

  /** Keys and values in turns. */
  newDict(items: readonly PickleValue[]): Dict {
    this.charge(200);
    const dict = new Dict();
    this.setItems(dict, items);
    return dict;
  }

  setItems(target: PickleValue, items: readonly PickleValue[]): void {
    if (!(target instanceof Dict)) throw new PickleFault(`${nameOf(target)} is filled as a dict`);
    if (items.length % 2 !== 0) throw new PickleFault('a dict gets a key without a value');
    this.charge(32 * items.length);
    for (let i = 0; i < items.length; i += 2) setItem(target, items[i]!, items[i + 1]!);
  }

  append(target: PickleValue, items: readonly PickleValue[]): void {
    if (!Array.isArray(target)) throw new PickleFault(`${nameOf(target)} is filled as a list`);
    this.charge(8 * items.length);
    for (const item of items) target.push(item);
  }

  remember(index: number): void {
    if (!Number.isSafeInteger(index) || index < 0) {
      throw new PickleFault(`the memo has no place ${index}`);
    }
    this.charge(48);
    this.memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw new PickleFault(`the memo has nothing at ${index}`);
    this.push(value);
  }

  /** What stands for a Python name; throws where it is not on the list. */
  find(module: string, name: string): PickleValue {
    const full = `${module}.${name}`;
    const found = this.options.names(full);
    if (found === undefined) throw new PickleFault(`${full} is not on the list`, full);
    return found;
  }

  reduce(callee: PickleValue, args: PickleValue): PickleValue {
    if (!(callee instanceof Constructor)) throw new PickleFault(`${nameOf(callee)} is called`);
    if (!(args instanceof Tuple)) {
      throw new PickleFault(`${callee.name} is called with ${nameOf(args)} instead of a tuple`);
    }
    this.charge(256);
    return callee.call(args.items, (bytes) => this.charge(bytes));
  }

  persistent(id: PickleValue): PickleValue {
    if (!this.options.persistent) throw new PickleFault('it refers to an object outside of itself');
    this.charge(128);
    return this.options.persistent(id);
  }

  // Bytes

  charge(bytes: number): void {
    this.budget.take(bytes, 'its pickle');
  }

  /** The place of `count` bytes, after which reading goes on. */
  private take(count: number): number {
    const from = this.at;
    if (count > this.bytes.length - from) {
      throw new PlusxError(
        'checkpoint-truncated',
        `${this.options.file} is truncated: its pickle goes on for ${count} bytes at byte ${from}, ` +
          `the file has ${this.bytes.length}; copy it again`,
        { file: this.options.file, expected: from + count, found: this.bytes.length },
      );
    }
    this.at = from + count;
    return from;
  }

  uint8 = (): number => this.bytes[this.take(1)]!;
  uint16 = (): number => this.view.getUint16(this.take(2), true);
  uint32 = (): number => this.view.getUint32(this.take(4), true);
  int32 = (): number => this.view.getInt32(this.take(4), true);
  float64 = (): number => this.view.getFloat64(this.take(8), false);

  uint64(): number {
    const value = this.view.getBigUint64(this.take(8), true);
    // No file is as long: a larger number is refused as such.
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
  }

  /** A part of the pickle itself, not a copy. */
  slice(length: number): Uint8Array {
    const from = this.take(length);
    this.charge(128 + 2 * Math.min(length, longestText));
    return this.bytes.subarray(from, from + length);
  }

  text(length: number): string {
    const from = this.take(length);
    this.charge(24 + 2 * length);
    try {
      return utf8.decode(this.bytes.subarray(from, from + length));
    } catch {
      throw new PickleFault('text is no UTF-8');
    }
  }

  /** A line without its end. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    const length = (end < 0 ? this.bytes.length : end) - this.at;
    if (length > longestLine) throw new PickleFault(`a line has more than ${longestLine} bytes`);
    const text = this.text(length);
    this.take(1);
    return text;
  }

  /** Two's complement, the lowest byte first. */
  integer(length: number): number | bigint {
    if (length > longestInteger) {
      throw new PickleFault(`a whole number has ${length} bytes, plusx reads ${longestInteger}`);
    }
    const from = this.take(length);
    let value = 0n;
    for (let i = from + length - 1; i >= from; i--) value = (value << 8n) | BigInt(this.bytes[i]!);
    this.charge(64);
    return narrowed(BigInt.asIntN(8 * length, value));
  }

  /** A whole number in decimal digits, with the L of Python 2. */
  decimal(line: string): number | bigint {
    const digits = /^([-+]?\d+)L?$/.exec(line.trim())?.[1];
    if (digits === undefined || digits.length > longestInteger) {
      throw new PickleFault(`${quoted(line)} is no whole number of ${longestInteger} digits`);
    }
    this.charge(64);
    return narrowed(BigInt(digits));
  }
}

/** A pickle that contradicts itself. */
export function malformedPickle(file: string, reason: string): PlusxError {
  return new PlusxError(
    'checkpoint-malformed',
    `${file} holds no valid pickle: ${reason}; copy it again, or save it again in PyTorch: ` +
      'torch.save(model.state_dict(), "weights.pth")',
    { file, reason },
  );
}

const narrowed = (value: bigint) =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
