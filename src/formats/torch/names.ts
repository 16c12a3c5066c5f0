/**
 * PyTorch's part of the allow-list: storages, and the functions that lay a tensor over one.
 * Source: torch/_utils.py, torch/_weights_only_unpickler.py (what `weights_only=True` allows).
 */
import { elementBytes, type DType } from '../dtype.js';
import { numpyNames } from '../pickle/numpy.js';
import { pythonNames } from '../pickle/python.js';
import {
  Constructor,
  DTypeValue,
  nameOf,
  PickleFault,
  sizeOf,
  sizesOf,
  textOf,
  TorchTensor,
  Tuple,
  type Call,
  type Charge,
  type PickleValue,
  type TorchStorage,
} from '../pickle/values.js';

/** `torch.FloatStorage`, and `torch.float32` with its other name. Newer dtypes have no such class. */
const types: readonly (readonly [storage: string | null, dtype: DType, ...names: string[]])[] = [
  ['DoubleStorage', 'F64', 'float64', 'double'],
  ['FloatStorage', 'F32', 'float32', 'float'],
  ['HalfStorage', 'F16', 'float16', 'half'],
  ['BFloat16Storage', 'BF16', 'bfloat16'],
  ['LongStorage', 'I64', 'int64', 'long'],
  ['IntStorage', 'I32', 'int32', 'int'],
  ['ShortStorage', 'I16', 'int16', 'short'],
  ['CharStorage', 'I8', 'int8'],
  ['ByteStorage', 'U8', 'uint8'],
  ['BoolStorage', 'BOOL', 'bool'],
  [null, 'U16', 'uint16'],
  [null, 'U32', 'uint32'],
  [null, 'U64', 'uint64'],
];

const notCalled = (name: string) => (): PickleValue => {
  throw new PickleFault(`${name} is called`);
};

function isStorage(value: PickleValue | undefined): value is TorchStorage {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'storage';
}

/** (storage, offset, size, stride, …): the first four arguments of every `_rebuild_tensor…`. */
function rebuildTensor(args: readonly PickleValue[], charge: Charge, dtype?: DType): TorchTensor {
  const [storage, offset, size, stride] = args;
  if (!isStorage(storage)) throw new PickleFault(`a tensor lies over ${nameOf(storage)}`);
  const type = dtype ?? storage.dtype;
  if (type === null) throw new PickleFault('a tensor over bytes has no dtype');
  if (storage.dtype !== null && storage.dtype !== type) {
    throw new PickleFault(`a tensor of ${type} lies over a storage of ${storage.dtype}`);
  }
  const shape = sizesOf(size, "a tensor's shape");
  const strides = sizesOf(stride, "a tensor's strides");
  charge(16 * (shape.length + strides.length));
  return layOver(storage, type, { offset: sizeOf(offset, "a tensor's offset"), shape, strides });
}

interface Layout {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A tensor whose last element lies inside its storage. */
function layOver(storage: TorchStorage, dtype: DType, { offset, shape, strides }: Layout) {
  if (shape.length !== strides.length) {
    throw new PickleFault(
      `a tensor has shape [${shape.join(',')}], strides [${strides.join(',')}]`,
    );
  }
  const count = shape.reduce((a, b) => a * b, 1);
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, offset);
  const bytes = storage.dtype === null ? elementBytes(dtype) : 1;
  const available = Math.floor(storage.viewElements / bytes);
  if (!Number.isSafeInteger(count) || (count > 0 && !(last < available))) {
    throw new PickleFault(
      `a tensor of shape [${shape.join(',')}], strides [${strides.join(',')}] and offset ${offset} ` +
        `reaches beyond its storage of ${available} elements`,
    );
  }
  return new TorchTensor(storage, dtype, offset, shape, strides);
}

/** `_rebuild_tensor_v3` has the dtype as its seventh argument, over a storage of bytes. */
function rebuildTensorV3(args: readonly PickleValue[], charge: Charge): TorchTensor {
  const dtype = args[6];
  if (!(dtype instanceof DTypeValue)) {
    throw new PickleFault(`a tensor's dtype is ${nameOf(dtype)}`);
  }
  return rebuildTensor(args, charge, dtype.dtype);
}

/** A parameter is its tensor. */
function parameter([data]: readonly PickleValue[]): TorchTensor {
  if (data instanceof TorchTensor) return data;
  throw new PickleFault(`a parameter holds ${nameOf(data)}`);
}

/** `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor with attributes. */
function fromType([make, , args]: readonly PickleValue[], charge: Charge): PickleValue {
  if (make instanceof Constructor && makers.has(make.name) && args instanceof Tuple) {
    return make.call(args.items, charge);
  }
  throw new PickleFault(`a tensor is rebuilt by ${nameOf(make)}`);
}

const makers = new Map<string, Call>([
  ['torch._utils._rebuild_tensor', (args, charge) => rebuildTensor(args, charge)],
  ['torch._utils._rebuild_tensor_v2', (args, charge) => rebuildTensor(args, charge)],
  ['torch._utils._rebuild_tensor_v3', rebuildTensorV3],
  ['torch._utils._rebuild_parameter', parameter],
  ['torch._utils._rebuild_parameter_with_state', parameter],
]);

const torchNames = new Map<string, PickleValue>([
  ...[
    ...makers,
    ['torch._tensor._rebuild_from_type_v2', fromType] as const,
    ['torch.nn.parameter.Parameter', parameter] as const,
    ['torch.Tensor', notCalled('torch.Tensor')] as const,
    // A size is a tuple; a device is of no consequence here
    [
      'torch.Size',
      ([items]: readonly PickleValue[]) => new Tuple(sizesOf(items, 'a size')),
    ] as const,
    ['torch.device', (args: readonly PickleValue[]) => new Tuple(args.slice(0, 2))] as const,
  ].map(([name, call]) => [name, new Constructor(name, call)] as const),
  ...types.flatMap(([storage, dtype, ...names]): [string, PickleValue][] => [
    ...(storage === null ? [] : [storageClass(`torch.${storage}`, dtype)]),
    ...names.map((name): [string, PickleValue] => [`torch.${name}`, new DTypeValue(dtype)]),
  ]),
  ...['UntypedStorage', '_UntypedStorage'].map((name) =>
    storageClass(`torch.storage.${name}`, null),
  ),
]);

function storageClass(name: string, dtype: DType | null): [string, PickleValue] {
  return [name, new Constructor(name, notCalled(name), dtype)];
}

/** The whole allow-list. */
export function weightNames(name: string): PickleValue | undefined {
  return torchNames.get(name) ?? numpyNames.get(name) ?? pythonNames.get(name);
}

/**
 * The storage that a persistent id names: `('storage', class, key, device, elements)`, in old files
 * with a sixth item, null or `(key, offset, elements)` of a view.
 */
export function storageOf(id: PickleValue): TorchStorage {
  const items = id instanceof Tuple ? id.items : [];
  const [what, type, key, , elements, view] = items;
  const kind = textOf(what, 'a reference');
  if (kind === 'module') {
    throw new PickleFault(
      'it holds a whole model with its source code, not a state dict',
      'the source code of a model',
    );
  }
  if (kind !== 'storage' || !(type instanceof Constructor) || type.dtype === undefined) {
    throw new PickleFault('it refers to something that is no storage of PyTorch');
  }
  const whole = sizeOf(elements, "a storage's size");
  const storage = {
    kind: 'storage',
    key: textOf(key, "a storage's key"),
    dtype: type.dtype,
  } as const;
  if (view === undefined || view === null) {
    return { ...storage, elements: whole, viewBegin: 0, viewElements: whole };
  }
  const [, offset, length] = view instanceof Tuple ? view.items : [];
  const viewBegin = sizeOf(offset, "a view's offset");
  const viewElements = sizeOf(length, "a view's size");
  if (viewBegin + viewElements > whole) {
    throw new PickleFault(
      `a view of ${viewElements} elements from ${viewBegin} reaches beyond its storage of ${whole}`,
    );
  }
  return { ...storage, elements: whole, viewBegin, viewElements };
}
