/** Weights, images and numbers by an integer hash: what scripts/fixtures/ computes alike. */
import { elementCount, type Shape } from '../../src/graph/graph.js';
import type { Batch } from '../../src/train/session.js';
import type { StateDict } from '../../src/train/state-dict.js';

/** A bijection of 32-bit words that scatters them. */
function mix(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** `count` words of a stream. */
export function words(stream: number, count: number): Uint32Array {
  const start = mix(stream);
  // A loop: Uint32Array.from takes ten times as long, and there are networks of 60 million weights.
  const found = new Uint32Array(count);
  for (let i = 0; i < count; i++) found[i] = mix((i + start) | 0);
  return found;
}

/** A batch of one training step: images as bright as their label, coloured and noisy. */
export function formulaBatch(step: number, N: number, pixels: number, classes: number): Batch {
  const labels = Int32Array.from({ length: N }, (_, image) => image % classes);
  const noise = words(1000 + step, N * pixels * pixels * 3);
  const colour = words(2000 + step, N * 3);
  const images = Uint8Array.from(noise, (word, i) => {
    const image = Math.floor(i / (pixels * pixels * 3));
    const brightness = Math.floor((labels[image]! * 96) / (classes - 1));
    return (word % 64) + (colour[image * 3 + (i % 3)]! % 64) + brightness;
  });
  return { images, labels };
}

/**
 * Weights in U(-1/√fanIn, 1/√fanIn); in batch-norm `scale` and `shift`, and running statistics of
 * mean 0 and variance 1. File layout, in the keys' order.
 */
export function formulaState(
  keys: readonly (readonly [string, Shape])[],
  [scale, shift]: readonly [number, number],
): StateDict {
  const state: StateDict = new Map();
  const constants = { weight: scale, bias: shift, running_mean: 0, running_var: 1 };
  let fanIn = 1;
  keys.forEach(([key, shape], index) => {
    const count = elementCount(shape);
    if (shape.length === 1 && key !== 'fc.bias') {
      const name = key.slice(key.lastIndexOf('.') + 1) as keyof typeof constants;
      state.set(key, { shape, data: new Float32Array(count).fill(constants[name]) });
      return;
    }
    if (shape.length > 1) fanIn = count / shape[0]!;
    const bound = 1 / Math.sqrt(fanIn);
    const data = Float32Array.from(
      words(index, count),
      (word) => (2 * (word / 2 ** 32) - 1) * bound,
    );
    state.set(key, { shape, data });
  });
  return state;
}
