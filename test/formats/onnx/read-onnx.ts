/** Reads back of an ONNX file what the tests ask for, by field numbers of onnx.proto. */
import { PbfReader } from 'pbf';

export interface ReadNode {
  readonly inputs: string[];
  output: string;
  name: string;
  opType: string;
  docString: string;
}

export interface ReadTensor {
  readonly dims: number[];
  name: string;
  raw: Uint8Array;
}

export class ReadModel {
  irVersion = 0;
  opset = 0;
  producer = '';
  readonly metadata: Record<string, string> = {};
  readonly nodes: ReadNode[] = [];
  readonly initializers: ReadTensor[] = [];
  /** Names and documentation of inputs and outputs. */
  readonly inputs: string[] = [];
  readonly outputs: string[] = [];
  readonly values: string[] = [];
}

export function readOnnx(parts: readonly Uint8Array[]): ReadModel {
  const model = new ReadModel();
  const field = (tag: number, _: ReadModel, pbf: PbfReader) => {
    if (tag === 1) model.irVersion = pbf.readVarint();
    else if (tag === 2) model.producer = pbf.readString();
    else if (tag === 7) pbf.readMessage(graphField, model);
    else if (tag === 8) pbf.readMessage(opsetField, model);
    else if (tag === 14) {
      const [key, value] = pbf.readMessage(entryField, ['', '']);
      model.metadata[key] = value;
    }
  };
  return new PbfReader(Buffer.concat(parts)).readFields(field, model);
}

function opsetField(tag: number, model: ReadModel, pbf: PbfReader): void {
  if (tag === 2) model.opset = pbf.readVarint();
}

function entryField(tag: number, entry: [string, string], pbf: PbfReader): void {
  if (tag === 1) entry[0] = pbf.readString();
  else if (tag === 2) entry[1] = pbf.readString();
}

function graphField(tag: number, model: ReadModel, pbf: PbfReader): void {
  if (tag === 1) {
    const node = { inputs: [], output: '', name: '', opType: '', docString: '' };
    model.nodes.push(pbf.readMessage(nodeField, node));
  } else if (tag === 5) {
    const tensor = { dims: [], name: '', raw: new Uint8Array() };
    model.initializers.push(pbf.readMessage(tensorField, tensor));
  } else if (tag === 11) model.inputs.push(pbf.readMessage(valueField, { name: '' }).name);
  else if (tag === 12) model.outputs.push(pbf.readMessage(valueField, { name: '' }).name);
  else if (tag === 13) model.values.push(pbf.readMessage(valueField, { name: '' }).name);
}

function nodeField(tag: number, node: ReadNode, pbf: PbfReader): void {
  if (tag === 1) node.inputs.push(pbf.readString());
  else if (tag === 2) node.output = pbf.readString();
  else if (tag === 3) node.name = pbf.readString();
  else if (tag === 4) node.opType = pbf.readString();
  else if (tag === 6) node.docString = pbf.readString();
}

function tensorField(tag: number, tensor: ReadTensor, pbf: PbfReader): void {
  if (tag === 1) tensor.dims.push(pbf.readVarint());
  else if (tag === 8) tensor.name = pbf.readString();
  else if (tag === 9) tensor.raw = pbf.readBytes();
}

function valueField(tag: number, value: { name: string }, pbf: PbfReader): void {
  if (tag === 1) value.name = pbf.readString();
}
