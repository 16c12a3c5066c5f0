/** What models of the whole family are written with: groups, dropout, excitation, shortcuts, pools. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { PlusxError } from '../../src/errors.js';
import {
  adaptiveAvgPool2d,
  avgPool2d,
  conv2d,
  dropout,
  globalAvgPool2d,
  identityShortcut,
  scaleChannels,
  sequential,
  sigmoid,
  summarize,
  type Layer,
  type Tensor,
} from '../../src/index.js';
import { dropout as droppedOut } from '../../src/nn/functional.js';
import { Trace } from '../../src/nn/trace.js';
import { conv2d as conv2dRule } from '../../src/ops/conv2d.js';
import { f32 } from '../../src/ops/op.js';
import { toFileLayout } from '../../src/train/state-dict.js';

/** The graph of a layer on x. */
function traced(layer: Layer, shape: readonly number[], training = true) {
  const model = sequential(layer);
  const trace = new Trace(model, { training });
  const y = model(trace.input('x', { shape, dtype: 'f32' }));
  return { y, nodes: trace.builder.nodes, inputs: [...trace.builder.build().inputs.keys()] };
}

const shapeOf = (layer: Layer, shape: readonly number[]) => traced(layer, shape).y.shape;

function refused(run: () => unknown, code: string, message: RegExp): void {
  assert.throws(run, (error: PlusxError) => error.code === code && message.test(error.message));
}

test('a grouped convolution has the weights and the multiply-adds of one group per output', () => {
  const layer = conv2d(128, 256, { kernelSize: 3, padding: 1, groups: 32, bias: false });
  assert.deepEqual(layer.weight.shape, [256, 3, 3, 4]);
  assert.equal(layer.weight.init.kind === 'uniform' && layer.weight.init.bound, 1 / 6);
  const summary = summarize(sequential(conv2d(3, 128, { kernelSize: 1 }), layer), 14);
  assert.equal(summary.layers.at(-1)!.macs, 14 * 14 * 256 * 9 * 4);
  const file = toFileLayout(layer.weight.shape, new Float32Array(256 * 36));
  assert.deepEqual(file.shape, [256, 4, 3, 3]);
});

test('groups that do not divide the channels are refused, by the layer and by the op', () => {
  const divisor = /conv2d: groups must be a divisor of 6 input and 8 output channels, got 4/;
  refused(() => conv2d(6, 8, { kernelSize: 1, groups: 4 }), 'option', divisor);
  refused(() => conv2d(6, 8, { kernelSize: 1, groups: 0 }), 'option', /groups .* got 0/);
  const inputs = [f32(1, 5, 5, 6), f32(8, 1, 1, 3)];
  refused(
    () => conv2dRule.infer(inputs, { stride: 1, padding: 0, groups: 4 }),
    'shape',
    /conv2d: 4 groups do not divide 6 input and 8 output channels .*\[8,1,1,3\].*; take/,
  );
});

test('a grouped convolution says how many channels its input lacks', () => {
  refused(
    () => shapeOf(conv2d(64, 64, { kernelSize: 1, groups: 2 }), [1, 5, 5, 32]),
    'shape',
    /conv2d: input has 32 channels, weight expects 64/,
  );
});

test('dropout is there in training only, each with a mask of its own', () => {
  const two = sequential(dropout({ p: 0.25 }), dropout());
  const training = traced(two, [4, 10]);
  assert.deepEqual(
    training.nodes.map(({ attributes }) => attributes),
    [
      { p: 0.25, layer: 0 },
      { p: 0.5, layer: 1 },
    ],
  );
  assert.deepEqual(training.inputs, ['x', 'randomness']);
  const evaluation = traced(two, [4, 10], false);
  assert.deepEqual([evaluation.nodes.length, evaluation.inputs], [0, ['x']]);
  assert.equal(traced(dropout({ p: 0 }), [4, 10]).nodes.length, 0);
});

test('a probability that keeps nothing, or is none, is refused', () => {
  const message = /dropout: p must be at least 0 and below 1, got/;
  for (const p of [1, -0.1, NaN]) {
    refused(() => dropout({ p }), 'option', message);
    refused(() => shapeOf((x) => droppedOut(x, { p }), [1, 2]), 'option', message);
  }
});

test('squeeze-and-excitation scales each image’s channels', () => {
  const excited = (x: Tensor) => scaleChannels(x, sigmoid(globalAvgPool2d(x)));
  assert.deepEqual(shapeOf(excited, [2, 5, 7, 3]), [2, 5, 7, 3]);
  refused(
    () => shapeOf((x) => scaleChannels(x, x), [2, 5, 7, 3]),
    'shape',
    /scaleChannels: input \[2,5,7,3\] needs a scale of \[2,1,1,3\], got \[2,5,7,3\]/,
  );
});

test('the shortcut without parameters halves the image and widens the channels', () => {
  const shortcut =
    (outChannels: number, stride = 2) =>
    (x: Tensor) =>
      identityShortcut(x, { stride, outChannels });
  assert.deepEqual(shapeOf(shortcut(32), [2, 31, 32, 16]), [2, 16, 16, 32]);
  refused(
    () => shapeOf(shortcut(8), [2, 4, 4, 16]),
    'shape',
    /identityShortcut: input has 16 channels, 8 are to come out; it adds channels and drops none/,
  );
  refused(() => shapeOf(shortcut(32, 0), [2, 4, 4, 16]), 'option', /stride must be .* got 0/);
  refused(() => shapeOf(shortcut(1.5), [2, 4, 4, 1]), 'option', /outChannels must be .* got 1.5/);
});

test('adaptive pooling is nothing, plain pooling, or windows that differ', () => {
  const pooled = (size: number | [number, number]) => (x: Tensor) => adaptiveAvgPool2d(x, size);
  const ops = (size: number | [number, number], H: number, W: number) => {
    const { y, nodes } = traced(pooled(size), [1, H, W, 3]);
    return [y.shape.slice(1, 3).join('×'), ...nodes.map(({ op }) => op)];
  };
  assert.deepEqual(ops(7, 7, 7), ['7×7']);
  assert.deepEqual(ops(7, 14, 14), ['7×7', 'avgPool2d']);
  assert.deepEqual(ops(1, 5, 8), ['1×1', 'avgPool2d']);
  assert.deepEqual(ops([2, 3], 5, 7), ['2×3', 'adaptiveAvgPool2d']);
  assert.deepEqual(ops(7, 2, 2), ['7×7', 'adaptiveAvgPool2d']);
  refused(() => shapeOf(pooled(0), [1, 4, 4, 3]), 'option', /outputSize must be .* got 0/);
});

test('ceilMode takes a last window of a part, unless it begins behind the image', () => {
  const pooled = (kernelSize: number, padding: number, ceilMode: boolean) => (x: Tensor) =>
    avgPool2d(x, { kernelSize, stride: 2, padding, ceilMode, countIncludePad: false });
  assert.deepEqual(shapeOf(pooled(2, 0, true), [1, 7, 8, 3]), [1, 4, 4, 3]);
  assert.deepEqual(shapeOf(pooled(2, 0, false), [1, 7, 8, 3]), [1, 3, 4, 3]);
  assert.deepEqual(shapeOf(pooled(2, 1, true), [1, 7, 8, 3]), [1, 4, 5, 3]);
});
