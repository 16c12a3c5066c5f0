/** Weights of other programs: prefixes and names undone, what does not fit said key by key. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PlusxError } from '../../src/errors.js';
import type { Weights } from '../../src/formats/weights.js';
import { createModel } from '../../src/models/registry.js';
import { initialValues } from '../../src/train/initialize.js';
import { expectMatch, matchWeights } from '../../src/train/match-weights.js';
import { toFileLayout, type StateDict } from '../../src/train/state-dict.js';

const model = createModel('resnet20', { shortcut: 'B' });
const own: StateDict = new Map(
  Array.from(initialValues(model, 1), ([key, data]) => {
    return [key, toFileLayout(model.namedParameters().get(key)!.shape, data)];
  }),
);

/** The model's weights by other keys; undefined leaves one out. */
function weights(rename: (key: string) => string | undefined): Weights {
  const state: Weights['state'] = new Map();
  for (const [key, tensor] of own) {
    const name = rename(key);
    if (name !== undefined) state.set(name, tensor);
  }
  const about = { format: 'pytorch-zip', bytes: 0, metadata: {}, entry: '', notes: [] } as const;
  return { file: 'model.pth', ...about, otherEntries: [], leftOut: [], state };
}

const match = (rename: (key: string) => string | undefined) => matchWeights(weights(rename), model);

/** The message of what `expectMatch` throws. */
function complaint(rename: (key: string) => string | undefined): string {
  try {
    expectMatch(match(rename), 'model.pth', 'resnet20 with 10 classes');
  } catch (error) {
    assert(error instanceof PlusxError && error.code === 'weights-mismatch', String(error));
    return error.message;
  }
  assert.fail('all of it fits');
}

describe('names', () => {
  const fits: [string, (key: string) => string, string[]][] = [
    ['of the model itself', (key) => key, []],
    ['behind module.', (key) => `module.${key}`, ['prefix "module." removed']],
    ['behind model.', (key) => `model.${key}`, ['prefix "model." removed']],
    [
      'behind several wrappers',
      (key) => `module._orig_mod.${key}`,
      ['prefix "module._orig_mod." removed'],
    ],
    ['behind a name of their own', (key) => `backbone.${key}`, ['prefix "backbone." removed']],
    [
      'of the usual CIFAR ResNets',
      (key) => `module.${key.replace(/^fc/, 'linear').replace('downsample', 'shortcut')}`,
      [
        'prefix "module." removed',
        '"layer2.0.shortcut.0.weight" is "layer2.0.downsample.0.weight" here, ' +
          '"layer2.0.shortcut.1.weight" is "layer2.0.downsample.1.weight" here and 10 more',
      ],
    ],
  ];
  for (const [what, rename, notes] of fits) {
    test(`${what} are found`, () => {
      const found = match(rename);
      expectMatch(found, 'model.pth', 'resnet20');
      assert.deepEqual(found.state, own);
      assert.deepEqual(found.notes, notes);
    });
  }

  test('a prefix that not all keys have is removed where the model’s keys come out', () => {
    const found = match((key) => (key.startsWith('fc') ? key : `model.${key}`));
    expectMatch(found, 'model.pth', 'resnet20');
  });

  test('moments of plusx’s optimizers and counters that are floats are passed over', () => {
    const read = weights((key) => key);
    read.state.set('bn1.num_batches_tracked', { shape: [], data: Float32Array.of(7) });
    read.state.set('optimizer.velocity.fc.bias', own.get('fc.bias')!);
    expectMatch(matchWeights(read, model), 'model.pth', 'resnet20');
  });
});

describe('what does not fit', () => {
  test('a missing key is named with the nearest one in the file', () => {
    const message = complaint((key) => (key === 'bn1.weight' ? 'bn1.weigth' : key));
    assert.match(message, /^model\.pth does not fit resnet20 with 10 classes:\n/);
    assert.match(message, /1 key is missing: "bn1\.weight" \(the file has "bn1\.weigth"\)/);
    assert.match(message, /1 key is one too many: "bn1\.weigth"/);
    assert.match(message, /name the model and the options .* with which the weights were trained$/);
  });

  test('many missing keys are counted, the first ones named', () => {
    const message = complaint((key) => (key.startsWith('layer3') ? undefined : key));
    assert.match(message, /35 keys are missing: ("layer3[\w.]+", ){3}and 32 more$/m);
  });

  test('other shapes are named with both', () => {
    const shapes = matchWeights(
      weights((key) => key),
      createModel('resnet20', { classes: 7, shortcut: 'B' }),
    );
    assert.deepEqual(shapes.mismatched, [
      { key: 'fc.weight', found: [10, 64], expected: [7, 64] },
      { key: 'fc.bias', found: [10], expected: [7] },
    ]);
    assert.throws(() => expectMatch(shapes, 'model.pth', 'resnet20'), {
      code: 'weights-mismatch',
      message:
        /2 keys have other shapes: "fc\.weight": the file has \[10,64\], the model expects \[7,64\]/,
    });
  });

  test('weights that are not finite are refused by key', () => {
    for (const value of [NaN, Infinity, -Infinity]) {
      const read = weights((key) => key);
      read.state.set('bn1.bias', { shape: [16], data: new Float32Array(16).fill(value, 3, 5) });
      assert.throws(() => matchWeights(read, model), {
        code: 'weights-not-finite',
        message: /^model\.pth: "bn1\.bias" holds NaN or infinity in 2 of its 16 numbers/,
      });
    }
  });

  test('a hundred thousand strange keys take no time', () => {
    const read = weights(() => undefined);
    const tensor = { shape: [1], data: Float32Array.of(1) };
    for (let i = 0; i < 100_000; i++) read.state.set(`${'x'.repeat(100)}.${i}`, tensor);
    const begin = performance.now();
    assert.throws(() => expectMatch(matchWeights(read, model), 'model.pth', 'resnet20'));
    assert.ok(performance.now() - begin < 5000);
  });
});
