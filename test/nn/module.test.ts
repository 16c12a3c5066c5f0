import assert from 'node:assert/strict';
import test from 'node:test';
import { PlusxError } from '../../src/errors.js';
import { batchNorm2d, conv2d, linear, sequential } from '../../src/nn/layers.js';
import { flatten, relu } from '../../src/nn/functional.js';
import { Module } from '../../src/nn/module.js';
import type { Tensor } from '../../src/nn/tensor.js';
import { Trace } from '../../src/nn/trace.js';

class Block extends Module {
  readonly conv1 = conv2d(3, 4, { kernelSize: 3, padding: 1, bias: false });
  readonly bn1 = batchNorm2d(4);
  readonly head = sequential(relu, conv2d(4, 4, { kernelSize: 1 }));

  override forward(x: Tensor): Tensor {
    return flatten(this.head(this.bn1(this.conv1(x))));
  }
}

function traced(model: Module, shape: number[], training = true): Trace {
  const trace = new Trace(model, { training });
  trace.builder.output('y', model(trace.input('x', { shape, dtype: 'f32' })).value);
  return trace;
}

test('a module is called like a function and is an instance of its class', () => {
  const block = new Block();
  assert.equal(typeof block, 'function');
  assert.ok(block instanceof Block && block instanceof Module);
});

test('parameters are named as in a PyTorch state dict, functions in a sequence counted', () => {
  assert.deepEqual(
    [...new Block().namedParameters().keys()],
    [
      'conv1.weight',
      'bn1.weight',
      'bn1.bias',
      'bn1.running_mean',
      'bn1.running_var',
      'head.1.weight',
      'head.1.bias',
    ],
  );
});

test('nodes carry the path of the module that asked for them', () => {
  const nodes = traced(new Block(), [1, 5, 7, 3]).builder.nodes;
  assert.deepEqual(
    nodes.map(({ op, path }) => `${op} ${path}`),
    ['conv2d conv1', 'batchNorm bn1', 'relu head', 'conv2d head.1', 'addBias head.1'].concat([
      'nhwcToNchw ',
      'reshape ',
    ]),
  );
});

test('evaluation reads running statistics and updates nothing', () => {
  const graph = traced(new Block(), [1, 5, 7, 3], false).builder.build();
  assert.ok(graph.nodes.some(({ op }) => op === 'batchNormInference'));
  assert.equal(graph.updates.size, 0);
});

test('a shape error names the module’s path, both values and both shapes', () => {
  const model = sequential(relu, sequential(conv2d(32, 128, { kernelSize: 3 })));
  assert.throws(
    () => traced(model, [8, 56, 56, 64]),
    (error: unknown) =>
      error instanceof PlusxError &&
      error.message ===
        '1.0: conv2d: input has 64 channels, weight expects 32 ' +
          '(input [8,56,56,64], weight [128,3,3,32])',
  );
});

test('a linear layer says how many features it expects', () => {
  assert.throws(
    () => traced(linear(10, 2), [1, 12]),
    /linear: input has 12 features, weight expects 10/,
  );
});

test('an image smaller than the kernel is a clear error', () => {
  assert.throws(
    () => traced(conv2d(3, 4, { kernelSize: 7 }), [1, 5, 5, 3]),
    /7×7 kernel is larger than the padded input 5×5.*use larger images/,
  );
});

test('a layer of no channels is refused when it is made', () => {
  assert.throws(() => conv2d(0, 4, { kernelSize: 3 }), /conv2d: inChannels must be .* got 0/);
  assert.throws(() => batchNorm2d(1.5), /batchNorm2d: channels must be .* got 1.5/);
});

test('a parameter that hides in a plain array is an error that says what to do', () => {
  class Hidden extends Module {
    private readonly layers = [linear(3, 3)];
    override forward(x: Tensor): Tensor {
      return this.layers[0]!(x);
    }
  }
  assert.throws(() => traced(new Hidden(), [1, 3]), /assign the module .* sequential/);
});
