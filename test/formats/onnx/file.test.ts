/** What an ONNX file holds beside the arithmetic: versions, names, metadata, its limit of size. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { InferenceSession } from 'onnxruntime-node';
import type { Backend } from '../../../src/backend/backend.js';
import { openBackend } from '../../../src/backend/devices.js';
import { encodeOnnx } from '../../../src/formats/onnx/encode.js';
import {
  irVersion,
  lowestOpset,
  newestOpset,
  type OnnxModel,
} from '../../../src/formats/onnx/model.js';
import { exportOnnx, type ExportOnnxOptions } from '../../../src/train/export-onnx.js';
import { withFolder } from '../temporary-folder.js';
import { families, prepare, type Prepared } from './families.js';
import { readOnnx } from './read-onnx.js';

let backend: Backend;
let prepared: Prepared;
before(async () => {
  backend = await openBackend({ device: 'reference' });
  prepared = await prepare(families[0]!, backend);
});
after(() => backend.dispose());

function written(options: Partial<ExportOnnxOptions> = {}): Promise<Buffer> {
  return withFolder(async (folder) => {
    const { model, state, imageSize } = prepared;
    const file = path.join(folder, 'model.onnx');
    const { bytes } = await exportOnnx(file, model, state, { imageSize, ...options });
    const content = await readFile(file);
    assert.equal(content.length, bytes);
    return content;
  });
}

describe('an ONNX file', () => {
  test('runs with each opset that is offered', async () => {
    for (let opset = lowestOpset; opset <= newestOpset; opset++) {
      const bytes = await written({ opset });
      assert.equal(readOnnx([bytes]).opset, opset);
      assert.equal(readOnnx([bytes]).irVersion, irVersion(opset));
      await (await InferenceSession.create(bytes)).release();
    }
  });

  test('names its input and output, and leaves the number of images open', async () => {
    const session = await InferenceSession.create(await written());
    const described = [session.inputMetadata, session.outputMetadata].map(([value]) => value);
    await session.release();
    assert.deepEqual(described, [
      { name: 'images', isTensor: true, type: 'float32', shape: ['N', 3, 17, 17] },
      { name: 'logits', isTensor: true, type: 'float32', shape: ['N', 3] },
    ]);
  });

  test('takes bytes as decoders give them where it preprocesses itself', async () => {
    const normalization = { mean: [0, 0, 0], std: [1, 1, 1] };
    const options = { withPreprocessing: true, normalization };
    const session = await InferenceSession.create(await written(options));
    const [input] = session.inputMetadata;
    await session.release();
    const shape = ['N', 17, 17, 3];
    assert.deepEqual(input, { name: 'images', isTensor: true, type: 'uint8', shape });
  });

  test('names nodes by their modules and keeps names of weights', async () => {
    const model = readOnnx([await written({ foldBatchNorm: false })]);
    assert.equal(model.producer, 'plusx');
    const names = model.nodes.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.includes('4.conv1/Conv') && names.includes('4/Add'), names.join(' '));
    assert.deepEqual(
      model.initializers.map(({ name }) => name).sort(),
      [...prepared.state.keys()].sort(),
    );
    const { raw, dims } = model.initializers.find(({ name }) => name === '0.weight')!;
    const { shape, data } = prepared.state.get('0.weight')!;
    assert.deepEqual(dims, shape);
    assert.deepEqual(Uint8Array.from(raw), new Uint8Array(data.slice().buffer));
  });

  test('keeps metadata', async () => {
    const metadata = { 'plusx.classes': '["cats","Füchse"]', empty: '' };
    assert.deepEqual(readOnnx([await written({ metadata })]).metadata, metadata);
  });

  test('has the same bytes again', async () => {
    assert.deepEqual(await written(), await written());
  });
});

describe('refused is', () => {
  const message = 'opset: expected a whole number from 13 to 26, got ';
  for (const opset of [12, 27, 20.5]) {
    test(`opset ${opset}`, () =>
      assert.rejects(written({ opset }), { code: 'option', message: `${message}${opset}` }));
  }

  test('preprocessing without a normalization', () =>
    assert.rejects(written({ withPreprocessing: true }), {
      code: 'option',
      message: 'withPreprocessing: needs a normalization, whose mean and std enter the graph',
    }));

  test('a state without one of the weights, or with another shape', async () => {
    const { model, state, imageSize } = prepared;
    const without = new Map(state);
    without.delete('0.weight');
    await assert.rejects(exportOnnx('none.onnx', model, without, { imageSize }), {
      code: 'state-mismatch',
      message: /^0\.weight: the model has \[15,3,3,3\], the state no such tensor; export a model/,
    });
    const other = new Map(state).set('0.weight', { shape: [1], data: new Float32Array(1) });
    await assert.rejects(exportOnnx('none.onnx', model, other, { imageSize }), {
      code: 'state-mismatch',
      message: /^0\.weight: the model has \[15,3,3,3\], the state \[1\]; export a model/,
    });
  });

  test('a file of more than two gigabytes, before anything is written', () => {
    // One tensor, named again and again: no memory is needed to ask for too much.
    const data = new Float32Array(2 ** 24);
    const initializers = Array.from({ length: 32 }, (_, i) => {
      return { name: `weight${i}`, dims: [data.length], data };
    });
    const graph = { name: 'large', nodes: [], inputs: [], outputs: [], values: [], initializers };
    const head = { opset: newestOpset, producerVersion: '', docString: '', metadata: {} };
    const model: OnnxModel = { ...head, graph };
    assert.throws(() => encodeOnnx(model), {
      code: 'onnx-too-large',
      message:
        /the ONNX file would have 21474\d{5} bytes, the format allows 2147483647; export it as safetensors, or/,
    });
  });
});
