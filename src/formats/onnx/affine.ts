/**
 * Convolutions, matrix products, biases and normalisation in ONNX. What can be one operator there is
 * one: a bias goes along with what it is added to, a batch-norm with the convolution before it.
 */
import type { Value } from '../../graph/graph.js';
import { at } from '../../ops/op.js';
import type { OpAttributes } from '../../ops/table.js';
import type { Call } from './call.js';
import { foldBatchNorm } from './fold.js';
import type { GraphWriter } from './graph-writer.js';

/** With its bias, and the batch-norm behind it where that is wanted, as one Conv. */
export function conv2d(
  { x, inputs, y, attributes, path }: Call<OpAttributes['conv2d']>,
  writer: GraphWriter,
) {
  const { stride, padding, groups = 1 } = attributes;
  const weight = at(inputs, 1);
  const biased = withBias(y, writer);
  const folded = writer.foldBatchNorm ? withBatchNorm(weight, biased, writer) : undefined;
  const parameters = folded?.names ?? namesOf([weight, biased.bias], writer);
  writer.emit('Conv', [writer.inOrder(x, 'nchw', path), ...parameters], path, {
    attributes: {
      kernel_shape: weight.shape.slice(1, 3),
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      group: groups,
    },
    value: folded?.y ?? biased.y,
    docString: folded ? `${path}, with ${folded.path} folded into it` : path,
  });
}

/** With its bias as one Gemm. */
export function matmul(
  { x, inputs, y, attributes, path }: Call<OpAttributes['matmul']>,
  writer: GraphWriter,
) {
  const { transposeA, transposeB } = attributes;
  const biased = withBias(y, writer);
  const operands = namesOf([x, at(inputs, 1), biased.bias], writer);
  writer.emit('Gemm', operands, path, {
    attributes: { transA: Number(transposeA), transB: Number(transposeB) },
    value: biased.y,
  });
}

/** Only where nothing before it could take the bias along. */
export function addBias(
  { x, inputs, y, path }: Call<OpAttributes['addBias']>,
  writer: GraphWriter,
) {
  const order = writer.order(x);
  const vector = writer.name(at(inputs, 1));
  // Channels are the last axis in plusx's order, the second in ONNX's.
  const bias =
    order === 'own'
      ? vector
      : writer.emit('Unsqueeze', [vector, writer.list(`${path}/axes`, [1, 2])], path);
  writer.emit('Add', [writer.name(x), bias], path, { value: y, order });
}

export function batchNormInference(
  { x, inputs, y, attributes, path }: Call<OpAttributes['batchNormInference']>,
  writer: GraphWriter,
) {
  const vectors = inputs.slice(1).map((value) => writer.name(value));
  writer.emit('BatchNormalization', [writer.inOrder(x, 'nchw', path), ...vectors], path, {
    attributes: { epsilon: { float: attributes.eps } },
    value: y,
  });
}

/** As torchvision's ToTensor and Normalize, each step rounded as theirs. */
export function normalizeImage(
  { x, y, attributes, path }: Call<OpAttributes['normalizeImage']>,
  writer: GraphWriter,
) {
  const float = 1; // TensorProto.DataType
  const perChannel = (name: string, values: readonly number[]) =>
    writer.constant(`preprocessing.${name}`, [1, values.length, 1, 1], Float32Array.from(values));
  const bytes = writer.inOrder(x, 'nchw', path);
  const numbers = writer.emit('Cast', [bytes], path, { attributes: { to: float } });
  const most = writer.constant('preprocessing.most', [], Float32Array.of(255));
  const scaled = writer.emit('Div', [numbers, most], path);
  const centred = writer.emit('Sub', [scaled, perChannel('mean', attributes.mean)], path);
  writer.emit('Div', [centred, perChannel('std', attributes.std)], path, { value: y });
}

interface Biased {
  /** What comes out in the end. */
  readonly y: Value;
  readonly bias: Value | undefined;
}

/** The addition of a bias to `y`, where it is a weight and nothing else reads `y`. */
function withBias(y: Value, writer: GraphWriter): Biased {
  const user = writer.onlyUser(y);
  const alone = user?.op === 'addBias' && user.inputs[0] === y;
  if (!alone || !writer.weightOf(at(user.inputs, 1))) return { y, bias: undefined };
  writer.absorb(user);
  return { y: at(user.outputs, 0), bias: at(user.inputs, 1) };
}

/** The weight and bias of a convolution with the batch-norm behind it, where nothing else reads y. */
function withBatchNorm(weight: Value, { y, bias }: Biased, writer: GraphWriter) {
  const user = writer.onlyUser(y);
  if (user?.op !== 'batchNormInference' || user.inputs[0] !== y) return undefined;
  const filters = writer.weightOf(weight);
  const vectors = user.inputs.slice(1).map((value) => writer.weightOf(value)?.data);
  const [gamma, beta, mean, variance] = vectors;
  if (!filters || !gamma || !beta || !mean || !variance) return undefined;
  writer.absorb(user);
  const { eps } = user.attributes as OpAttributes['batchNormInference'];
  const norm = { weight: gamma, bias: beta, mean, variance, eps };
  const folded = foldBatchNorm(filters.data, bias && writer.weightOf(bias)?.data, norm);
  const names = [
    writer.constant(`${filters.key}.folded`, filters.shape, folded.weight),
    writer.constant(`${filters.key}.folded_bias`, [gamma.length], folded.bias),
  ];
  return { names, y: at(user.outputs, 0), path: user.path };
}

function namesOf(values: readonly (Value | undefined)[], writer: GraphWriter): string[] {
  return values.flatMap((value) => (value ? [writer.name(value)] : []));
}
