/**
 * State dicts: tensors by key in PyTorch's layout, as files hold them. Inside, convolution weights
 * are (K, R, S, C); in files (K, C, R, S). An optimizer's moments follow their parameter.
 */
import { PlusxError } from '../errors.js';
import { elementCount, sameShape, type Shape } from '../graph/graph.js';

export interface StateTensor {
  readonly shape: Shape;
  readonly data: Float32Array;
}

export type StateDict = Map<string, StateTensor>;

/** From (K, R, S, C) to (K, C, R, S); other ranks as they are. */
export function toFileLayout(shape: Shape, data: Float32Array): StateTensor {
  if (shape.length !== 4) return { shape, data };
  const [K, R, S, C] = shape as [number, number, number, number];
  return { shape: [K, C, R, S], data: swapInner(data, K, R * S, C) };
}

/** From a file's tensor to the inside layout `shape`, which `expectShape` has found to be its own. */
export function fromFileLayout(shape: Shape, { data }: StateTensor): Float32Array {
  if (shape.length !== 4) return data;
  const [K, R, S, C] = shape as [number, number, number, number];
  return swapInner(data, K, C, R * S);
}

/** Throws where a file's tensor is not the one that is `shape` inside. */
export function expectShape(key: string, shape: Shape, tensor: StateTensor): void {
  const expected = fileShape(shape);
  if (sameShape(tensor.shape, expected) && tensor.data.length === elementCount(expected)) return;
  throw new PlusxError(
    'checkpoint-shape',
    `${key}: the checkpoint has [${tensor.shape.join(',')}], ` +
      `the model expects [${expected.join(',')}]; load it into the model that it was saved from`,
    { key, found: tensor.shape, expected },
  );
}

/** The shape of a tensor in files, from the one inside. */
export function fileShape(shape: Shape): Shape {
  if (shape.length !== 4) return shape;
  const [K, R, S, C] = shape as [number, number, number, number];
  return [K, C, R, S];
}

/** (N, A, B) → (N, B, A) */
function swapInner(data: Float32Array, N: number, A: number, B: number): Float32Array {
  const swapped = new Float32Array(data.length);
  for (let n = 0; n < N; n++) {
    const start = n * A * B;
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < B; b++) swapped[start + b * A + a] = data[start + a * B + b]!;
    }
  }
  return swapped;
}
