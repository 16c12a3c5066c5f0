/** Runs ONNX files in onnxruntime, which is not ours: what the exported networks are checked with. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { imagenet, toFloat } from '../../../src/data/transforms.js';
import { encodeOnnx } from '../../../src/formats/onnx/encode.js';
import type { OnnxModel } from '../../../src/formats/onnx/model.js';

/** Logits (N, classes) of `images` (N, S, S, 3), normalised as ImageNet's or by the model itself. */
export async function runOnnx(model: OnnxModel, images: Uint8Array, imageSize: number) {
  const takesBytes = model.graph.inputs[0]!.elementType === 'uint8';
  return logitsOf(await openOnnx(model), images, imageSize, takesBytes);
}

/** As `runOnnx`, of a file. */
export async function runOnnxFile(
  file: string,
  images: Uint8Array,
  imageSize: number,
  takesBytes: boolean,
) {
  return logitsOf(await InferenceSession.create(file), images, imageSize, takesBytes);
}

export function openOnnx(model: OnnxModel): Promise<InferenceSession> {
  return InferenceSession.create(Buffer.concat(encodeOnnx(model)));
}

async function logitsOf(
  session: InferenceSession,
  images: Uint8Array,
  S: number,
  takesBytes: boolean,
): Promise<Float32Array> {
  const N = images.length / (3 * S * S);
  const input = takesBytes
    ? new Tensor('uint8', images, [N, S, S, 3])
    : new Tensor('float32', channelsFirst(toFloat(images, imagenet), S), [N, 3, S, S]);
  try {
    const { logits } = await session.run({ images: input });
    return (logits!.data as Float32Array).slice();
  } finally {
    await session.release();
  }
}

/** (N, S, S, 3) → (N, 3, S, S) */
export function channelsFirst(data: Float32Array, S: number): Float32Array {
  const pixels = S * S;
  return data.map((_, i) => {
    const [n, c, p] = [Math.floor(i / (3 * pixels)), Math.floor(i / pixels) % 3, i % pixels];
    return data[(n * pixels + p) * 3 + c]!;
  });
}
