/** Pooling in ONNX. */
import type { Shape } from '../../graph/graph.js';
import type { OpAttributes } from '../../ops/table.js';
import type { PoolAttributes } from '../../ops/pool.js';
import type { Call } from './call.js';
import type { GraphWriter } from './graph-writer.js';

export function maxPool2d({ x, y, attributes, path }: Call<PoolAttributes>, writer: GraphWriter) {
  const { padding } = attributes;
  const input = writer.inOrder(x, 'nchw', path);
  writer.emit('MaxPool', [input], path, {
    attributes: { ...windowOf(attributes), pads: [padding, padding, padding, padding] },
    value: y,
  });
}

/**
 * ONNX's own ceil_mode has meant several things in several versions. Here a last window that reaches
 * over the edge reaches into padding that is not counted; padding that is counted then becomes
 * zeros of the image before.
 */
export function avgPool2d(
  { x, y, attributes, path }: Call<OpAttributes['avgPool2d']>,
  writer: GraphWriter,
) {
  const { kernelHeight, kernelWidth, padding, countIncludePad = true } = attributes;
  let input = writer.inOrder(x, 'nchw', path);
  if (kernelHeight === x.shape[1] && kernelWidth === x.shape[2] && padding === 0) {
    writer.emit('GlobalAveragePool', [input], path, { value: y });
    return;
  }
  const [below, right] = overhang(x.shape, y.shape, attributes);
  const reachesOver = below > 0 || right > 0;
  let margin = padding;
  if (reachesOver && countIncludePad && padding > 0) {
    const zeros = [0, 0, padding, padding, 0, 0, padding, padding];
    input = writer.emit('Pad', [input, writer.list(`${path}/pads`, zeros)], path);
    margin = 0;
  }
  writer.emit('AveragePool', [input], path, {
    attributes: {
      ...windowOf(attributes),
      pads: [margin, margin, margin + below, margin + right],
      count_include_pad: Number(countIncludePad && !reachesOver),
    },
    value: y,
  });
}

/** ONNX has no such operator; along each axis it is a product with a matrix of shares. */
export function adaptiveAvgPool2d(
  { x, y, path }: Call<OpAttributes['adaptiveAvgPool2d']>,
  writer: GraphWriter,
) {
  const [, H, W] = x.shape as [number, number, number, number];
  const [, OH, OW] = y.shape as [number, number, number, number];
  const rows = writer.constant(
    `${path}/rows`,
    [OH, H],
    shares(OH, H, (i, h) => i * H + h),
  );
  const columns = writer.constant(
    `${path}/columns`,
    [W, OW],
    shares(OW, W, (i, w) => w * OW + i),
  );
  const pooled = writer.emit('MatMul', [rows, writer.inOrder(x, 'nchw', path)], path);
  writer.emit('MatMul', [pooled, columns], path, { value: y });
}

/** 1/window where output i is the mean over pixel p, else 0; `place` says where in the matrix. */
function shares(count: number, size: number, place: (i: number, p: number) => number) {
  const matrix = new Float32Array(count * size);
  for (let i = 0; i < count; i++) {
    const start = Math.floor((i * size) / count);
    const end = Math.ceil(((i + 1) * size) / count);
    for (let p = start; p < end; p++) matrix[place(i, p)] = 1 / (end - start);
  }
  return matrix;
}

/** How far the last window of each axis reaches behind the padded image, in pixels. */
function overhang(x: Shape, y: Shape, attributes: PoolAttributes): [below: number, right: number] {
  const { kernelHeight, kernelWidth, stride, padding } = attributes;
  const along = (axis: number, kernel: number) => {
    return Math.max(0, (y[axis]! - 1) * stride + kernel - (x[axis]! + 2 * padding));
  };
  return [along(1, kernelHeight), along(2, kernelWidth)];
}

function windowOf({ kernelHeight, kernelWidth, stride }: PoolAttributes) {
  return { kernel_shape: [kernelHeight, kernelWidth], strides: [stride, stride] };
}
