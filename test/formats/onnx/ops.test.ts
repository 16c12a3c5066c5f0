/** Each row of the ONNX table, and what stands between rows: folding, orders of axes, refusals. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Backend } from '../../../src/backend/backend.js';
import { openBackend } from '../../../src/backend/devices.js';
import { imagenet } from '../../../src/data/transforms.js';
import { convertToOnnx } from '../../../src/formats/onnx/convert.js';
import type { OnnxGraph } from '../../../src/formats/onnx/model.js';
import {
  adaptiveAvgPool2d,
  avgPool2d,
  crossEntropy,
  flatten,
  globalAvgPool2d,
  identityShortcut,
  maxPool2d,
  relu,
  scaleChannels,
  sigmoid,
  type AvgPool2dOptions,
} from '../../../src/nn/functional.js';
import {
  batchNorm2d,
  conv2d,
  dropout,
  linear,
  sequential,
  type Layer,
} from '../../../src/nn/layers.js';
import { Module } from '../../../src/nn/module.js';
import type { Tensor } from '../../../src/nn/tensor.js';
import { Trace } from '../../../src/nn/trace.js';
import { onnxModel, type OnnxOptions } from '../../../src/train/export-onnx.js';
import { prepare } from './families.js';
import { runOnnx } from './onnx-runtime.js';

const imageSize = 9;

let backend: Backend;
before(async () => {
  backend = await openBackend({ device: 'reference' });
});
after(() => backend.dispose());

/** Converts a model, compares onnxruntime with plusx, and returns the graph. */
async function exported(model: Module, options: OnnxOptions = {}): Promise<OnnxGraph> {
  const family = { name: 'test', imageSize, create: () => model };
  const { state, images, logits } = await prepare(family, backend);
  const onnx = onnxModel(model, state, { ...options, imageSize, normalization: imagenet });
  const found = await runOnnx(onnx, images, imageSize);
  const largest = Math.max(...logits.map(Math.abs));
  logits.forEach((value, i) => {
    assert.ok(Math.abs(found[i]! - value) <= 1e-5 * largest, `${i}: ${found[i]}, not ${value}`);
  });
  return onnx.graph;
}

const opTypes = ({ nodes }: OnnxGraph) => nodes.map(({ opType }) => opType).join(' ');
const conv = (bias = false) => conv2d(3, 4, { kernelSize: 3, padding: 1, bias });
/** So that the model ends in (N, features). */
const ending = (...layers: Layer[]) => sequential(...layers, flatten);

describe('a convolution', () => {
  test('takes its bias along', async () => {
    const model = await exported(ending(conv2d(3, 4, { kernelSize: 3, stride: 2, padding: 1 })));
    assert.equal(opTypes(model), 'Conv Flatten');
    assert.deepEqual(model.nodes[0]!.inputs, ['images', '0.weight', '0.bias']);
  });

  test('takes the batch-norm behind it along, with a bias and without', async () => {
    for (const bias of [true, false]) {
      const model = await exported(ending(conv(bias), batchNorm2d(4), relu));
      assert.equal(opTypes(model), 'Conv Relu Flatten');
      assert.equal(model.nodes[0]!.docString, '0, with 1 folded into it');
    }
  });

  test('leaves the batch-norm alone where that is wanted', async () => {
    const model = await exported(ending(conv(), batchNorm2d(4)), { foldBatchNorm: false });
    assert.equal(opTypes(model), 'Conv BatchNormalization Flatten');
  });

  test('leaves alone what somebody else reads too', async () => {
    class Shared extends Module {
      readonly conv = conv();
      readonly bn = batchNorm2d(4);
      override forward(x: Tensor): Tensor {
        const y = this.conv(x);
        return flatten(this.bn(y).add(y));
      }
    }
    assert.equal(opTypes(await exported(new Shared())), 'Conv BatchNormalization Add Flatten');
  });

  test('whose weights two batch-norms follow is folded once for each', async () => {
    class Twice extends Module {
      readonly conv = conv();
      readonly bn1 = batchNorm2d(4);
      readonly bn2 = batchNorm2d(4);
      override forward(x: Tensor): Tensor {
        return flatten(
          this.bn1(this.conv(x))
            .add(this.bn2(this.conv(x)))
            .add(this.conv(x)),
        );
      }
    }
    const model = await exported(new Twice());
    assert.equal(opTypes(model), 'Conv Conv Add Conv Add Flatten');
    const names = model.initializers.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.includes('conv.weight.folded') && names.includes('conv.weight'));
  });
});

test('groups of a convolution stay groups, folded and not', async () => {
  for (const foldBatchNorm of [true, false]) {
    const grouped = conv2d(6, 4, { kernelSize: 3, groups: 2, bias: false });
    const model = sequential(conv2d(3, 6, { kernelSize: 1 }), grouped, batchNorm2d(4), flatten);
    const { nodes } = await exported(model, { foldBatchNorm });
    assert.equal(nodes[1]!.attributes['group'], 2);
  }
});

test('squeeze-and-excitation is a product', async () => {
  const squeeze = (x: Tensor) => scaleChannels(x, sigmoid(globalAvgPool2d(x)));
  const model = await exported(ending(conv(), squeeze));
  assert.equal(opTypes(model), 'Conv GlobalAveragePool Sigmoid Mul Flatten');
});

describe("option A's shortcut", () => {
  test('takes every other pixel and puts zeros around its channels', async () => {
    const model = await exported(ending((x) => identityShortcut(x, { stride: 2, outChannels: 8 })));
    assert.equal(opTypes(model), 'Slice Pad Flatten');
  });

  test('keeps all pixels where the stride is 1', async () => {
    const model = await exported(ending((x) => identityShortcut(x, { stride: 1, outChannels: 5 })));
    assert.equal(opTypes(model), 'Pad Flatten');
  });
});

test('dropout is nothing', async () => {
  assert.equal(opTypes(await exported(ending(conv(), dropout({ p: 0.5 })))), 'Conv Flatten');
});

describe('a batch-norm', () => {
  test('that stands before a convolution is a node', async () => {
    const model = await exported(ending(batchNorm2d(3), relu, conv()));
    assert.equal(opTypes(model), 'BatchNormalization Relu Conv Flatten');
  });

  test('of features is a node', async () => {
    const model = await exported(sequential(flatten, linear(243, 5), batchNorm2d(5)));
    assert.equal(opTypes(model), 'Flatten Gemm BatchNormalization');
  });
});

describe('pooling', () => {
  test('counts the padding in, or never chooses it', async () => {
    const window = { kernelSize: 3, stride: 2, padding: 1 };
    const model = await exported(
      ending(
        (x) => maxPool2d(x, window),
        (x) => avgPool2d(x, window),
      ),
    );
    assert.equal(opTypes(model), 'MaxPool AveragePool Flatten');
  });

  test('rounds the number of windows up, whatever of the padding counts', async () => {
    const window = { kernelSize: 3, stride: 3, ceilMode: true };
    const cases: readonly (readonly [AvgPool2dOptions, string])[] = [
      [{ ...window, kernelSize: 2 }, 'AveragePool Flatten'],
      [{ ...window, padding: 1 }, 'Pad AveragePool Flatten'],
      [{ ...window, padding: 1, countIncludePad: false }, 'AveragePool Flatten'],
      [{ kernelSize: 3, padding: 1, countIncludePad: false }, 'AveragePool Flatten'],
    ];
    for (const [options, expected] of cases) {
      assert.equal(opTypes(await exported(ending((x) => avgPool2d(x, options)))), expected);
    }
  });

  test('to a given size is a product with each axis, to fewer pixels and to more', async () => {
    for (const size of [
      [4, 2],
      [5, 16],
    ] as const) {
      const model = await exported(ending((x) => adaptiveAvgPool2d(x, size)));
      assert.equal(opTypes(model), 'MatMul MatMul Flatten');
    }
  });

  test('of the whole image is global', async () => {
    const model = await exported(ending((x) => avgPool2d(x, { kernelSize: imageSize })));
    assert.equal(opTypes(model), 'GlobalAveragePool Flatten');
  });
});

describe('the order of axes', () => {
  test('is turned where values are counted in the order of plusx, and only there', async () => {
    // Without flatten's change of order: (N, H, W, C) as it lies in memory.
    const raw = (x: Tensor) => x.trace.emitOne('reshape', [x], { shape: [x.shape[0]!, 324] });
    const model = await exported(sequential(conv(), raw));
    assert.equal(opTypes(model), 'Conv Transpose Flatten');
  });

  test('is turned back for a convolution', async () => {
    const swap = (x: Tensor) => {
      const [N] = x.shape;
      const rows = x.trace.emitOne('reshape', [x], { shape: [N!, 81, 1, 3] });
      return x.trace.emitOne('reshape', [rows], { shape: [N!, 9, 9, 3] });
    };
    const model = await exported(ending(swap, conv()));
    assert.equal(opTypes(model), 'Transpose Reshape Reshape Transpose Conv Flatten');
  });

  test('costs nothing where plusx turns it', async () => {
    const there = (x: Tensor) => x.trace.emitOne('nhwcToNchw', [x], {});
    const back = (x: Tensor) => x.trace.emitOne('nchwToNhwc', [x], {});
    assert.equal(opTypes(await exported(ending(there, relu, back, conv()))), 'Relu Conv Flatten');
  });

  test('is made the same before two tensors are added', async () => {
    class Mixed extends Module {
      readonly conv = conv2d(3, 3, { kernelSize: 1 });
      override forward(x: Tensor): Tensor {
        const shape = x.shape;
        return flatten(this.conv(x).add(x.trace.emitOne('reshape', [x], { shape })));
      }
    }
    const model = await exported(new Mixed());
    assert.equal(opTypes(model), 'Conv Transpose Reshape Transpose Add Flatten');
  });
});

describe('a bias that nothing can take along', () => {
  class Doubled extends Module {
    readonly layer;
    readonly head = linear(3, 2, { bias: false });
    constructor() {
      super();
      this.layer = conv2d(3, 3, { kernelSize: 1 });
    }
    override forward(x: Tensor): Tensor {
      const { trace } = x;
      const bias = trace.use(this.layer.bias!);
      const y = trace.emitOne('addBias', [relu(this.layer(x)), bias], {});
      const pooled = flatten(avgPool2d(y, { kernelSize: imageSize }));
      return this.head(trace.emitOne('addBias', [relu(pooled), bias], {}));
    }
  }
  test('is added, along the channels', async () => {
    const model = await exported(new Doubled());
    const expected = 'Conv Relu Unsqueeze Add GlobalAveragePool Flatten Relu Add Gemm';
    assert.equal(opTypes(model), expected);
  });
});

test('a bias that is computed later than the layer is added, not taken along', () => {
  const trace = new Trace(sequential(relu), { training: false });
  const x = trace.input('images', { shape: [2, 3], dtype: 'f32' });
  const vector = trace.input('vector', { shape: [3], dtype: 'f32' });
  const product = trace.emitOne('matmul', [x, x], { transposeA: false, transposeB: true });
  const y = trace.emitOne('matmul', [product, x], { transposeA: false, transposeB: false });
  trace.builder.output('y', trace.emitOne('addBias', [y, relu(vector)], {}).value);
  assert.equal(
    opTypes(convertToOnnx(trace.builder.build(), new Map()).graph),
    'Gemm Gemm Relu Add',
  );
});

test('an output that only shows another tensor gets its name', () => {
  const there = (x: Tensor) => x.trace.emitOne('nhwcToNchw', [x], {});
  const trace = new Trace(sequential(relu), { training: false });
  const x = trace.input('images', { shape: [2, 4, 4, 3], dtype: 'f32' });
  trace.builder.output('turned', there(x).value);
  const { graph } = convertToOnnx(trace.builder.build(), new Map());
  assert.deepEqual(
    graph.nodes.map(({ opType }) => opType),
    ['Identity'],
  );
});

describe('refused is', () => {
  const convert = (forward: (x: Tensor) => Tensor) => {
    const trace = new Trace(sequential(forward), { training: false });
    const x = trace.input('images', { shape: [2, 4, 4, 3], dtype: 'f32' });
    trace.builder.output('y', forward(x).value);
    return () => convertToOnnx(trace.builder.build(), new Map());
  };

  test('what belongs to training, by name', () => {
    const loss = (x: Tensor) =>
      crossEntropy(flatten(x), x.trace.input('labels', { shape: [2], dtype: 'i32' }));
    assert.throws(convert(loss), {
      code: 'onnx-op',
      message:
        'the model: softmaxCrossEntropy belongs to training and is not exported to ONNX; export ' +
        'the graph of evaluation',
    });
  });

  test('a reshape that mixes images', () => {
    const mix = (x: Tensor) => x.trace.emitOne('reshape', [x], { shape: [4, 24] });
    assert.throws(convert(mix), {
      code: 'onnx-batch',
      message:
        'the model: reshape from [2,4,4,3] to [4,24] mixes the images of a batch, whose number is ' +
        'open in ONNX; keep axis 0 as it is',
    });
  });
});
