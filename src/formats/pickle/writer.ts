/**
 * A state dict as PyTorch pickles it, protocol 2: an OrderedDict from keys to tensors, each of which
 * is `torch._utils._rebuild_tensor_v2` applied to a storage that lies beside the pickle.
 *
 * Nothing else can be written, and what `torch.load(…, weights_only=True)` allows is not exceeded.
 * Source: Python, Lib/pickletools.py; PyTorch, torch/serialization.py and torch/_tensor.py.
 */

export interface PickledTensor {
  readonly key: string;
  /** The file with its numbers: `data/<storage>` of the archive. */
  readonly storage: string;
  readonly storageType: 'FloatStorage' | 'LongStorage';
  readonly shape: readonly number[];
}

const opcode = {
  proto: 0x80,
  global: 0x63, // c
  emptyTuple: 0x29, // )
  mark: 0x28, // (
  tuple: 0x74, // t
  reduce: 0x52, // R
  unicode: 0x58, // X
  smallInt: 0x4b, // K
  int: 0x4a, // J
  newFalse: 0x89,
  persistentId: 0x51, // Q
  setItems: 0x75, // u
  stop: 0x2e, // .
} as const;

export function pickleStateDict(tensors: readonly PickledTensor[]): Uint8Array {
  const pickle = new PickleWriter();
  pickle.op('proto', 2);
  pickle.emptyOrderedDict();
  pickle.op('mark');
  for (const tensor of tensors) {
    pickle.text(tensor.key);
    pickle.tensor(tensor);
  }
  pickle.op('setItems');
  pickle.op('stop');
  return pickle.finish();
}

class PickleWriter {
  private readonly bytes: number[] = [];

  op(name: keyof typeof opcode, ...argument: readonly number[]): void {
    this.bytes.push(opcode[name], ...argument);
  }

  /** A class or function by module and name, which the reader looks up. */
  global(module: string, name: string): void {
    this.op('global', ...Buffer.from(`${module}\n${name}\n`));
  }

  text(text: string): void {
    const utf8 = Buffer.from(text);
    this.op('unicode', ...littleEndian(utf8.length), ...utf8);
  }

  int(value: number): void {
    if (value < 256) this.op('smallInt', value);
    else this.op('int', ...littleEndian(value));
  }

  tuple(write: () => void): void {
    this.op('mark');
    write();
    this.op('tuple');
  }

  ints(values: readonly number[]): void {
    this.tuple(() => values.forEach((value) => this.int(value)));
  }

  emptyOrderedDict(): void {
    this.global('collections', 'OrderedDict');
    this.op('emptyTuple');
    this.op('reduce');
  }

  /** _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, backward hooks) */
  tensor({ storage, storageType, shape }: PickledTensor): void {
    this.global('torch._utils', '_rebuild_tensor_v2');
    this.tuple(() => {
      this.tuple(() => {
        this.text('storage');
        this.global('torch', storageType);
        this.text(storage);
        this.text('cpu');
        this.int(shape.reduce((product, size) => product * size, 1));
      });
      this.op('persistentId');
      this.int(0);
      this.ints(shape);
      this.ints(denseStrides(shape));
      this.op('newFalse');
      this.emptyOrderedDict();
    });
    this.op('reduce');
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }
}

/** In numbers, the last axis running fastest. */
function denseStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

function littleEndian(value: number): number[] {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return [...bytes];
}
