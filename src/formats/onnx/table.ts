/**
 * What each op of the evaluation graph is in ONNX: one row an op, and a reason where there is none.
 *
 * Source: https://github.com/onnx/onnx (docs/Operators.md); the operators mean the same in every
 * opset from 13 on.
 */
import { PlusxError } from '../../errors.js';
import type { Node } from '../../graph/graph.js';
import { at } from '../../ops/op.js';
import type { OpAttributes, OpName } from '../../ops/table.js';
import { addBias, batchNormInference, conv2d, matmul, normalizeImage } from './affine.js';
import type { Call, Row } from './call.js';
import type { GraphWriter } from './graph-writer.js';
import { identityShortcut, reshape } from './layout.js';
import { adaptiveAvgPool2d, avgPool2d, maxPool2d } from './pooling.js';

const trains = { none: 'belongs to training' } as const;
const planned = { none: 'is made by the planner' } as const;

const table: { readonly [Op in OpName]: Row<OpAttributes[Op]> } = {
  normalizeImage,
  conv2d,
  matmul,
  addBias,
  batchNormInference,
  relu: elementwise('Relu'),
  sigmoid: elementwise('Sigmoid'),
  add: ({ x, inputs, y, path }, writer) => {
    const order = writer.order(x);
    const other = writer.inOrder(at(inputs, 1), order, path);
    writer.emit('Add', [writer.name(x), other], path, { value: y, order });
  },
  scaleChannels: ({ inputs, y, path }, writer) => {
    const both = inputs.map((value) => writer.inOrder(value, 'nchw', path));
    writer.emit('Mul', both, path, { value: y });
  },
  maxPool2d,
  avgPool2d,
  adaptiveAvgPool2d,
  identityShortcut,
  reshape,
  // The tensor is written in this order already, only the graph counts it otherwise.
  nhwcToNchw: ({ x, y, path }, writer) => writer.alias(y, writer.inOrder(x, 'nchw', path), 'own'),
  nchwToNhwc: ({ x, y, path }, writer) => writer.alias(y, writer.inOrder(x, 'own', path), 'nchw'),

  batchNorm: trains,
  batchNormBackward: trains,
  conv2dBackwardInput: trains,
  conv2dBackwardWeight: trains,
  conv2dBackward: trains,
  sumToChannels: trains,
  reluBackward: trains,
  sigmoidBackward: trains,
  scaleChannelsBackward: trains,
  dropout: trains,
  identityShortcutBackward: trains,
  maxPool2dBackward: trains,
  avgPool2dBackward: trains,
  adaptiveAvgPool2dBackward: trains,
  softmaxCrossEntropy: trains,
  softmaxCrossEntropyBackward: trains,
  fill: trains,
  sgd: trains,
  adamW: trains,
  packWeight: planned,
  conv2dInference: planned,
  batchNormStatistics: planned,
  batchNormFold: planned,
  scaleShift: planned,
  batchNormBackwardSums: planned,
  reluBackwardSums: planned,
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
  const attributesOfOp = attributes as never;
  row({ path, attributes: attributesOfOp, x: at(inputs, 0), inputs, y: at(outputs, 0) }, writer);
}

/** A function of each number by itself, whatever the order of axes. */
function elementwise(opType: string) {
  return ({ x, y, path }: Call<Record<never, never>>, writer: GraphWriter) => {
    writer.emit(opType, [writer.name(x)], path, { value: y, order: writer.order(x) });
  };
}
