/**
 * The steps of a convolution whose gradients are computed part by part of a batch: of each part the
 * gradient that both passes read, the input's, and the weight's, which adds to that of the parts before.
 */
import { byteLength } from '../graph/graph.js';
import { conv2dBackwardInput, conv2dBackwardWeight } from '../ops/conv2d.js';
import { lowerTable, type ConvPlace, type LoweredStep, type LowerContext } from './lower.js';
import type { Slot } from './plan.js';

/** `ofInput` and `ofWeight`: how each pass is computed for the images of a part. */
export function stepsOfParts(
  context: Pick<LowerContext<'conv2dBackward'>, 'inputs' | 'outputs' | 'attributes'>,
  ofInput: ConvPlace,
  ofWeight: ConvPlace,
): readonly LoweredStep[] {
  const [x, weight, dy, normX, ...vectors] = context.inputs as readonly [
    ...[Slot, Slot, Slot, Slot],
    ...Slot[],
  ];
  const [dx, dweight, room] = context.outputs as readonly [Slot, Slot, Slot];
  const { normInputs, partImages, ...window } = context.attributes;
  const normVectors = vectors.slice(0, normInputs - 1);
  const prologue = vectors.slice(normInputs - 1);
  const N = x.shape[0]!;

  const stepsOf = (first: number): readonly LoweredStep[] => {
    const count = Math.min(partImages, N - first);
    const images = (slot: Slot) => imagesOf(slot, first, count);
    const gradient = imagesOf(room, 0, count);
    const norm = lowerTable.batchNormBackwardInput({
      inputs: [images(dy), images(normX), ...normVectors],
      outputs: [gradient],
      attributes: { relu: normVectors.length > 2 },
      choice: null,
      workspace: null,
    });
    const inputs = [gradient, weight];
    const toInput = lowerTable.conv2dBackwardInput({
      ...{ inputs, outputs: [images(dx)], attributes: window },
      ...ofInput,
    });
    const toWeight = lowerTable.conv2dBackwardWeight({
      ...{ inputs: [images(x), gradient, ...prologue], outputs: [dweight], attributes: window },
      ...ofWeight,
    });
    return [
      { step: { ...norm, cached: true }, flops: 0 },
      {
        step: { ...toInput, weightPacked: first > 0 },
        flops: conv2dBackwardInput.flops!(inputs, [dx], window),
      },
      {
        step: { ...toWeight, accumulate: first > 0 },
        flops: conv2dBackwardWeight.flops!([x, gradient], [dweight], window),
      },
    ];
  };
  const parts = Array.from({ length: Math.ceil(N / partImages) }, (_, part) => part * partImages);
  return parts.flatMap(stepsOf);
}

/** So many of a tensor's images. Their place is a multiple of `slotAlignment`: the fusion sees to it. */
function imagesOf({ offset, shape, dtype }: Slot, first: number, count: number): Slot {
  const image = shape.slice(1);
  return { offset: offset + first * byteLength(image, dtype), shape: [count, ...image], dtype };
}
