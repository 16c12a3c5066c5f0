/** What the registry makes of names and options, and what it says of those that do not fit. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { networkText, type NetworkOptions } from '../../src/models/options.js';
import { createModel, modelNames } from '../../src/models/registry.js';

const refused: readonly (readonly [string, NetworkOptions, string, RegExp])[] = [
  ['resnet81', {}, 'unknown-model', /model "resnet81" is not known; did you mean "resnet18"\?/],
  ['vgg16bn', {}, 'unknown-model', /did you mean "vgg16_bn"\?/],
  [
    'resnet18',
    { stem: 'conv3' as 'conv3x3' },
    'unknown-stem',
    /stem "conv3" is not known; did you mean "conv3x3"\? Known: conv3x3, conv7x7/,
  ],
  ['resnet20', { shortcut: 'C' as 'A' }, 'unknown-shortcut', /shortcut "C".* Known: A, B/],
  ['resnet50', { variant: 's' as 'd' }, 'unknown-variant', /variant "s".* Known: d/],
  [
    'alexnet',
    { stem: 'conv3x3' },
    'option',
    /^alexnet has no option stem, given as conv3x3; it has dropout\. Leave it out, or take .*resnet18/,
  ],
  ['resnet50', { shortcut: 'A' }, 'option', /^resnet50 has no option shortcut.*take .*resnet20/],
  ['plain20', { zeroInitResidual: true }, 'option', /plain20 .*; it has none\. Leave it out/],
  ['resnet20', { squeezeExcitation: true }, 'option', /it has shortcut, zeroInitResidual\./],
  ['vgg11', { dropout: 1 }, 'option', /vgg11: dropout must be from 0 to below 1, got 1/],
  ['vgg11', { dropout: NaN }, 'option', /dropout must be from 0 to below 1, got NaN/],
];

for (const [name, options, code, message] of refused) {
  test(`${name} with ${JSON.stringify(options)} is refused`, () => {
    assert.throws(() => createModel(name, options), { code, message });
  });
}

test('an option that is null or undefined is left out', () => {
  const { dropout, stem } = { dropout: null, stem: undefined };
  assert.equal(createModel('resnet20', { dropout, stem, classes: 10 }).parameterCount(), 269_722);
});

test('names are torchvision’s, those of the papers beside them', () => {
  assert.equal(modelNames.length, 27);
  for (const name of ['resnet152', 'wide_resnet50_2', 'vgg19_bn', 'resnet110', 'plain56']) {
    assert.ok(modelNames.includes(name), name);
  }
});

test('a network is written with what was chosen of it', () => {
  assert.equal(networkText({ model: 'vgg16' }), 'vgg16');
  assert.equal(networkText({ model: 'vgg16', dropout: 0, stem: null }), 'vgg16 (dropout 0)');
  assert.equal(
    networkText({
      model: 'resnet50',
      stem: 'conv3x3',
      variant: 'd',
      zeroInitResidual: true,
      squeezeExcitation: true,
    }),
    'resnet50 (conv3x3 stem, variant d, zero-init residual, squeeze-excitation)',
  );
  assert.equal(networkText({ model: 'resnet20', shortcut: 'B' }), 'resnet20 (shortcut B)');
});
