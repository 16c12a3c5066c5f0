/**
 * An ONNX model as bytes: protocol buffers, each field with its number in onnx.proto.
 *
 * Weights are not copied: the file is a list of parts, and a message's length is known before its
 * parts are put together.
 */
import { PbfWriter } from 'pbf';
import { PlusxError } from '../../errors.js';
import {
  irVersion,
  type OnnxAttribute,
  type OnnxElementType,
  type OnnxGraph,
  type OnnxInitializer,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
} from './model.js';

/** Protocol buffers hold no more. */
export const maxOnnxBytes = 2 ** 31 - 1;

/** TensorProto.DataType */
const elementTypes: Readonly<Record<OnnxElementType, number>> = {
  float: 1,
  uint8: 2,
  int64: 7,
  bfloat16: 16,
};

/** The file as parts, one after the other; throws PlusxError `onnx-too-large`. */
export function encodeOnnx(model: OnnxModel): Uint8Array[] {
  const { graph } = model;
  const parts = [
    message((pbf) => writeModel(model, pbf)),
    ...embedded(7, [
      message((pbf) => writeGraph(graph, pbf)),
      ...graph.initializers.flatMap((tensor) => embedded(5, initializerParts(tensor))),
    ]),
  ];
  const bytes = byteCount(parts);
  if (bytes > maxOnnxBytes) {
    throw new PlusxError(
      'onnx-too-large',
      `the ONNX file would have ${bytes} bytes, the format allows ${maxOnnxBytes}; export it as ` +
        'safetensors, or take a smaller model',
      { bytes, allowed: maxOnnxBytes },
    );
  }
  return parts;
}

/** ModelProto without its graph. */
function writeModel({ opset, producerVersion, docString, metadata }: OnnxModel, pbf: PbfWriter) {
  pbf.writeVarintField(1, irVersion(opset));
  pbf.writeStringField(2, 'plusx');
  pbf.writeStringField(3, producerVersion);
  pbf.writeStringField(6, docString);
  pbf.writeMessage(8, writeOpset, opset);
  for (const entry of Object.entries(metadata)) pbf.writeMessage(14, writeEntry, entry);
}

/** OperatorSetIdProto: the operators of ONNX itself, whose domain is the empty one. */
function writeOpset(version: number, pbf: PbfWriter) {
  pbf.writeStringField(1, '');
  pbf.writeVarintField(2, version);
}

/** StringStringEntryProto */
function writeEntry([key, value]: readonly [string, string], pbf: PbfWriter) {
  pbf.writeStringField(1, key);
  pbf.writeStringField(2, value);
}

/** GraphProto without its initialisers. */
function writeGraph({ name, nodes, inputs, outputs, values }: OnnxGraph, pbf: PbfWriter) {
  for (const node of nodes) pbf.writeMessage(1, writeNode, node);
  pbf.writeStringField(2, name);
  for (const value of inputs) pbf.writeMessage(11, writeValue, value);
  for (const value of outputs) pbf.writeMessage(12, writeValue, value);
  for (const value of values) pbf.writeMessage(13, writeValue, value);
}

/** NodeProto */
function writeNode(node: OnnxNode, pbf: PbfWriter) {
  for (const input of node.inputs) pbf.writeStringField(1, input);
  pbf.writeStringField(2, node.output);
  pbf.writeStringField(3, node.name);
  pbf.writeStringField(4, node.opType);
  for (const entry of Object.entries(node.attributes)) pbf.writeMessage(5, writeAttribute, entry);
  if (node.docString) pbf.writeStringField(6, node.docString);
}

/** AttributeProto; field 20 says which of the others holds the value. */
function writeAttribute([name, value]: readonly [string, OnnxAttribute], pbf: PbfWriter) {
  pbf.writeStringField(1, name);
  if (typeof value === 'number') {
    pbf.writeVarintField(3, value);
    pbf.writeVarintField(20, 2); // INT
  } else if ('float' in value) {
    pbf.writeFloatField(2, value.float);
    pbf.writeVarintField(20, 1); // FLOAT
  } else {
    for (const each of value) pbf.writeVarintField(8, each);
    pbf.writeVarintField(20, 7); // INTS
  }
}

/** ValueInfoProto */
function writeValue(value: OnnxValue, pbf: PbfWriter) {
  pbf.writeStringField(1, value.name);
  pbf.writeMessage(2, writeType, value);
  if (value.docString) pbf.writeStringField(3, value.docString);
}

/** TypeProto, of which a tensor is one kind. */
function writeType(value: OnnxValue, pbf: PbfWriter) {
  pbf.writeMessage(1, writeTensorType, value);
}

function writeTensorType({ elementType, dims }: OnnxValue, pbf: PbfWriter) {
  pbf.writeVarintField(1, elementTypes[elementType]);
  pbf.writeMessage(2, writeShape, dims);
}

/** TensorShapeProto */
function writeShape(dims: OnnxValue['dims'], pbf: PbfWriter) {
  for (const dim of dims) pbf.writeMessage(1, writeDimension, dim);
}

function writeDimension(dim: number | string, pbf: PbfWriter) {
  if (typeof dim === 'number') pbf.writeVarintField(1, dim);
  else pbf.writeStringField(2, dim);
}

/** TensorProto: its bytes last, as they are. */
function initializerParts({ name, dims, data }: OnnxInitializer): Uint8Array[] {
  const head = message((pbf) => {
    for (const dim of dims) pbf.writeVarintField(1, dim);
    pbf.writeVarintField(2, elementTypes[data instanceof Float32Array ? 'float' : 'int64']);
    pbf.writeStringField(8, name);
  });
  return [head, ...embedded(9, [new Uint8Array(data.buffer, data.byteOffset, data.byteLength)])];
}

function message(write: (pbf: PbfWriter) => void): Uint8Array {
  const pbf = new PbfWriter();
  write(pbf);
  return pbf.finish();
}

/** A field of bytes, or a message within one: its number, its length, what it holds. */
function embedded(field: number, parts: readonly Uint8Array[]): Uint8Array[] {
  const lengthDelimited = 2;
  const head = message((pbf) => {
    pbf.writeTag(field, lengthDelimited);
    pbf.writeVarint(byteCount(parts));
  });
  return [head, ...parts];
}

function byteCount(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
