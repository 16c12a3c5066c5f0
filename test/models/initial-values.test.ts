/** How each family's weights start: as torchvision's definitions, or as the paper's code for CIFAR. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { NetworkOptions } from '../../src/models/options.js';
import { createModel } from '../../src/models/registry.js';
import type { Initialiser } from '../../src/nn/init.js';

const normal = (std: number): Initialiser => ({ kind: 'normal', std });
const uniform = (bound: number): Initialiser => ({ kind: 'uniform', bound });
const constant = (value: number): Initialiser => ({ kind: 'constant', value });

const expected: readonly (readonly [string, NetworkOptions, Record<string, Initialiser>])[] = [
  [
    'resnet50',
    {},
    {
      'conv1.weight': normal(Math.sqrt(2 / (64 * 49))),
      'layer2.0.conv2.weight': normal(Math.sqrt(2 / (128 * 9))),
      'layer1.0.bn3.weight': constant(1),
      'fc.weight': uniform(1 / Math.sqrt(2048)),
    },
  ],
  [
    'resnext50_32x4d',
    {},
    // PyTorch counts all output channels as the fan out of a grouped convolution.
    { 'layer1.0.conv2.weight': normal(Math.sqrt(2 / (128 * 9))) },
  ],
  [
    'resnet50',
    { zeroInitResidual: true },
    { 'layer1.0.bn3.weight': constant(0), 'layer1.0.bn2.weight': constant(1) },
  ],
  ['resnet18', { zeroInitResidual: true }, { 'layer4.1.bn2.weight': constant(0) }],
  ['resnet20', { zeroInitResidual: true }, { 'layer3.2.bn2.weight': constant(0) }],
  [
    'resnet50',
    { squeezeExcitation: true },
    {
      'layer1.0.se.fc1.weight': normal(Math.sqrt(2 / 16)),
      'layer1.0.se.fc1.bias': uniform(1 / Math.sqrt(256)),
    },
  ],
  ['resnet34', { stem: 'conv3x3' }, { 'layer1.0.conv1.weight': uniform(1 / Math.sqrt(64 * 9)) }],
  [
    'resnet20',
    {},
    {
      'conv1.weight': normal(Math.sqrt(2 / 27)),
      'layer2.0.conv1.weight': normal(Math.sqrt(2 / (16 * 9))),
      'fc.weight': normal(Math.sqrt(2 / 64)),
      'fc.bias': uniform(1 / 8),
    },
  ],
  ['plain20', {}, { 'layer2.0.conv1.weight': normal(Math.sqrt(2 / (16 * 9))) }],
  [
    'alexnet',
    {},
    {
      'features.0.weight': uniform(1 / Math.sqrt(3 * 121)),
      'features.0.bias': uniform(1 / Math.sqrt(3 * 121)),
      'classifier.6.weight': uniform(1 / Math.sqrt(4096)),
    },
  ],
  [
    'vgg16_bn',
    {},
    {
      'features.0.weight': normal(Math.sqrt(2 / (64 * 9))),
      'features.0.bias': constant(0),
      'features.1.weight': constant(1),
      'classifier.0.weight': normal(0.01),
      'classifier.0.bias': constant(0),
    },
  ],
];

for (const [name, options, values] of expected) {
  test(`${name} ${JSON.stringify(options)}`, () => {
    const parameters = createModel(name, options).namedParameters();
    for (const [key, init] of Object.entries(values)) {
      assert.deepEqual(parameters.get(key)?.init, init, key);
    }
  });
}
