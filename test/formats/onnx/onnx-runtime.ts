/** Runs ONNX files in onnxruntime, which is not ours: what the exported networks are checked with. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { toFloat, type Normalization } from '../../../src/data/transforms.js';

/** Logits (N, classes) of a file that takes floats (N, 3, S, S). */
export async function logitsOfFloats(
  file: string,
  bytes: Uint8Array,
  imageSize: number,
  normalization: Normalization,
): Promise<Float32Array> {
  const floats = channelsFirst(toFloat(bytes, normalization), imageSize);
  const N = bytes.length / (3 * imageSize * imageSize);
  return run(file, new Tensor('float32', floats, [N, 3, imageSize, imageSize]));
}

/** Logits (N, classes) of a file that takes bytes (N, S, S, 3). */
export async function logitsOfBytes(
  file: string,
  bytes: Uint8Array,
  imageSize: number,
): Promise<Float32Array> {
  const N = bytes.length / (3 * imageSize * imageSize);
  return run(file, new Tensor('uint8', bytes, [N, imageSize, imageSize, 3]));
}

async function run(file: string, images: Tensor): Promise<Float32Array> {
  const session = await InferenceSession.create(file, { intraOpNumThreads: 2 });
  try {
    const { logits } = await session.run({ images });
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
