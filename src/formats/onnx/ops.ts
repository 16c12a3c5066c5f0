/**
 * What each op of the evaluation graph is in ONNX: one row an op, and a reason where there is none.
 *
 * Source: https://github.com/onnx/onnx (docs/Operators.md); the operators below mean the same in
 * every opset from 13 on.
 */
import type { Node, Value } from '../../graph/graph.js';
import { at } from '../../ops/op.js';
import type { PoolAttributes } from '../../ops/pool.js';
import type { OpAttributes, OpName } from '../../ops/table.js';
import { PlusxError } from '../../errors.js';
import { foldBatchNorm } from './fold.js';
import type { GraphWriter } from './graph-writer.js';

interface Call<A> {
  readonly node: Node;
  /** The node's inputs, of which its shape rule has seen that they are there. */
  readonly x: Value;
  readonly inputs: readonly Value[];
  readonly y: Value;
  readonly attributes: A;
  readonly path: string;
}

type Translate<A> = (call: Call<A>, writer: GraphWriter) => void;

type Row<A> = Translate<A> | { readonly none: string };

const trains = { none: 'belongs to training' } as const;
const planned = { none: 'is made by the planner' } as const;

const table: { readonly [Op in OpName]: Row<OpAttributes[Op]> } = {
  normalizeImage,
  conv2d,
  matmul,
  addBias,
  batchNormInference,
  relu: ({ x, y, path }, writer) => {
    writer.emit('Relu', [writer.name(x)], path, { value: y, order: writer.order(x) });
  },
  add: ({ x, inputs, y, path }, writer) => {
    const order = writer.order(x);
    const other = writer.inOrder(at(inputs, 1), order, path);
    writer.emit('Add', [writer.name(x), other], path, { value: y, order });
  },
  maxPool2d: ({ x, y, attributes, path }, writer) => {
    const input = writer.inOrder(x, 'nchw', path);
    writer.emit('MaxPool', [input], path, { attributes: windowOf(attributes), value: y });
  },
  avgPool2d,
  reshape,
  // The tensor is written in this order already, only the graph counts it otherwise.
  nhwcToNchw: ({ x, y, path }, writer) => writer.alias(y, writer.inOrder(x, 'nchw', path), 'own'),
  nchwToNhwc: ({ x, y, path }, writer) => writer.alias(y, writer.inOrder(x, 'own', path), 'nchw'),

  batchNorm: trains,
  batchNormBackward: trains,
  conv2dBackwardInput: trains,
  conv2dBackwardWeight: trains,
  sumToChannels: trains,
  reluBackward: trains,
  maxPool2dBackward: trains,
  avgPool2dBackward: trains,
  softmaxCrossEntropy: trains,
  softmaxCrossEntropyBackward: trains,
  fill: trains,
  sgd: trains,
  adamW: trains,
  batchNormStatistics: planned,
  batchNormFold: planned,
  scaleShift: planned,
  batchNormBackwardSums: planned,
  batchNormBackwardInput: planned,
};

/** Writes one node of the graph; throws PlusxError `onnx-op` where ONNX has no word for it. */
export function translate(node: Node, writer: GraphWriter): void {
  const { op, inputs, outputs, attributes, path } = node;
  if (!Object.hasOwn(table, op)) throw new Error(`internal: no op is called ${op}`);
  const row = table[op as OpName] as Row<never>;
  if (typeof row === 'object') {
    throw new PlusxError(
      'onnx-op',
      `${path || 'the model'}: ${op} ${row.none} and is not exported to ONNX; export the graph of ` +
        'evaluation',
      { op, path },
    );
  }
  const [x, y] = [at(inputs, 0), at(outputs, 0)];
  row({ node, x, inputs, y, attributes: attributes as never, path }, writer);
}

/** As torchvision's ToTensor and Normalize, each step rounded as theirs. */
function normalizeImage(
  { x, y, attributes, path }: Call<OpAttributes['normalizeImage']>,
  writer: GraphWriter,
): void {
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

/** With its bias, and the batch-norm behind it where that is wanted, as one Conv. */
function conv2d(
  { x, inputs, y, attributes, path }: Call<OpAttributes['conv2d']>,
  writer: GraphWriter,
) {
  const { stride, padding } = attributes;
  const weight = at(inputs, 1);
  const biased = withBias(y, writer);
  const folded = writer.foldBatchNorm ? withBatchNorm(weight, biased, writer) : undefined;
  const parameters =
    folded?.names ??
    [weight, biased.bias].flatMap((value) => {
      return value ? [writer.name(value)] : [];
    });
  writer.emit('Conv', [writer.inOrder(x, 'nchw', path), ...parameters], path, {
    attributes: {
      kernel_shape: weight.shape.slice(1, 3),
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
    },
    value: folded?.y ?? biased.y,
    docString: folded ? `${path}, with ${folded.path} folded into it` : path,
  });
}

/** With its bias as one Gemm. */
function matmul(
  { x, inputs, y, attributes, path }: Call<OpAttributes['matmul']>,
  writer: GraphWriter,
) {
  const { transposeA, transposeB } = attributes;
  const biased = withBias(y, writer);
  const operands = [x, at(inputs, 1), biased.bias].flatMap((value) => {
    return value ? [writer.name(value)] : [];
  });
  writer.emit('Gemm', operands, path, {
    attributes: { transA: Number(transposeA), transB: Number(transposeB) },
    value: biased.y,
  });
}

/** Only where nothing before it could take the bias along. */
function addBias({ x, inputs, y, path }: Call<OpAttributes['addBias']>, writer: GraphWriter) {
  const order = writer.order(x);
  const vector = writer.name(at(inputs, 1));
  // Channels are the last axis in plusx's order, the second in ONNX's.
  const bias =
    order === 'own'
      ? vector
      : writer.emit('Unsqueeze', [vector, writer.list(`${path}/axes`, [1, 2])], path);
  writer.emit('Add', [writer.name(x), bias], path, { value: y, order });
}

function batchNormInference(
  { x, inputs, y, attributes, path }: Call<OpAttributes['batchNormInference']>,
  writer: GraphWriter,
) {
  const vectors = inputs.slice(1).map((value) => writer.name(value));
  writer.emit('BatchNormalization', [writer.inOrder(x, 'nchw', path), ...vectors], path, {
    attributes: { epsilon: { float: attributes.eps } },
    value: y,
  });
}

function avgPool2d({ x, y, attributes, path }: Call<PoolAttributes>, writer: GraphWriter) {
  const input = writer.inOrder(x, 'nchw', path);
  const { kernelHeight, kernelWidth, padding } = attributes;
  const whole = kernelHeight === x.shape[1] && kernelWidth === x.shape[2] && padding === 0;
  if (whole) {
    writer.emit('GlobalAveragePool', [input], path, { value: y });
    return;
  }
  const counted = { ...windowOf(attributes), count_include_pad: 1 };
  writer.emit('AveragePool', [input], path, { attributes: counted, value: y });
}

function reshape({ x, y, attributes, path }: Call<OpAttributes['reshape']>, writer: GraphWriter) {
  if (!writer.keepsBatch(x, y)) {
    throw new PlusxError(
      'onnx-batch',
      `${path || 'the model'}: reshape from [${x.shape.join(',')}] to [${y.shape.join(',')}] mixes ` +
        'the images of a batch, whose number is open in ONNX; keep axis 0 as it is',
      { path, from: x.shape, to: y.shape },
    );
  }
  const [, H = 1, W = 1] = x.shape;
  // One pixel has its channels in the same place in both orders.
  const input = H * W === 1 ? writer.name(x) : writer.inOrder(x, 'own', path);
  if (y.shape.length === 2) {
    writer.emit('Flatten', [input], path, { attributes: { axis: 1 }, value: y });
  } else {
    const sameBatch = 0; // the size of the input's axis
    const shape = writer.list(`${path}/shape`, [sameBatch, ...attributes.shape.slice(1)]);
    writer.emit('Reshape', [input, shape], path, { value: y, order: 'own' });
  }
}

function windowOf({ kernelHeight, kernelWidth, stride, padding }: PoolAttributes) {
  return {
    kernel_shape: [kernelHeight, kernelWidth],
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
  };
}

interface Biased {
  /** What comes out in the end. */
  readonly y: Value;
  readonly bias: Value | undefined;
}

/** The addition of a bias to `y`, where nothing else reads `y`. */
function withBias(y: Value, writer: GraphWriter): Biased {
  const user = writer.onlyUser(y);
  if (user?.op !== 'addBias' || user.inputs[0] !== y) return { y, bias: undefined };
  writer.absorb(user);
  return { y: at(user.outputs, 0), bias: at(user.inputs, 1) };
}

/** The weight and bias of a convolution with the batch-norm behind it, where nothing else reads y. */
function withBatchNorm(weight: Value, { y, bias }: Biased, writer: GraphWriter) {
  const user = writer.onlyUser(y);
  if (user?.op !== 'batchNormInference' || user.inputs[0] !== y) return undefined;
  const filters = writer.weightOf(weight);
  const own = bias && writer.weightOf(bias);
  const vectors = user.inputs.slice(1).map((value) => writer.weightOf(value)?.data);
  const [gamma, beta, mean, variance] = vectors;
  if (!filters || (bias && !own) || !gamma || !beta || !mean || !variance) return undefined;
  writer.absorb(user);
  const { eps } = user.attributes as OpAttributes['batchNormInference'];
  const norm = { weight: gamma, bias: beta, mean, variance, eps };
  const folded = foldBatchNorm(filters.data, own?.data, norm);
  const names = [
    writer.constant(`${filters.key}.folded`, filters.shape, folded.weight),
    writer.constant(`${filters.key}.folded_bias`, [gamma.length], folded.bias),
  ];
  return { names, y: at(user.outputs, 0), path: user.path };
}
