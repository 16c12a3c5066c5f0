import assert from 'node:assert/strict';
import test from 'node:test';
import {
  CenterCrop,
  Compose,
  imagenet,
  Normalize,
  Resize,
  standardPreprocessing,
  toFloat,
  ToTensor,
} from '../../src/data/transforms.js';

test('the standard preprocessing for S pixels is Resize(round(S·256/224)) and CenterCrop(S)', () => {
  for (const [size, resize] of [
    [224, 256],
    [64, 73],
    [32, 37],
    [1, 1],
  ] as const) {
    const transform = standardPreprocessing(size);
    assert.equal(transform.resize, resize);
    assert.equal(transform.outputSize, size);
    assert.deepEqual(transform.normalization, imagenet);
    assert.equal(transform.exif, 'honour');
  }
});

test('a pipeline written as in torchvision is the standard one', () => {
  const written = new Compose([
    new Resize(256),
    new CenterCrop(224),
    new ToTensor(),
    new Normalize({ mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }),
  ]);
  assert.deepEqual(written.toJSON(), standardPreprocessing(224).toJSON());
});

test('a pipeline survives JSON', () => {
  const transform = standardPreprocessing(32, 'ignore');
  const json: unknown = JSON.parse(JSON.stringify(transform));
  assert.deepEqual(Compose.fromJSON(json), transform);
});

test('stored preprocessing that is not usable names what is wrong', () => {
  const json = { ...standardPreprocessing(32).toJSON(), std: [1, 0, 1] };
  assert.throws(() => Compose.fromJSON(json), /stored preprocessing is not usable: .*std/);
  assert.throws(() => Compose.fromJSON(null), /stored preprocessing is not usable/);
});

test('transforms that are missing, out of order or out of range are refused by name', () => {
  assert.throws(() => new Compose([]), /in this order, got nothing/);
  assert.throws(
    () => new Compose([new CenterCrop(8), new Resize(9)]),
    /in this order, got CenterCrop, Resize/,
  );
  for (const size of [0, -1, 1.5, NaN, 20_000]) {
    assert.throws(() => new Resize(size), new RegExp(`Resize: size .* got ${size}`));
    assert.throws(() => new CenterCrop(size), new RegExp(`CenterCrop: size .* got ${size}`));
    assert.throws(() => standardPreprocessing(size), new RegExp(`image size: .* got ${size}`));
  }
  assert.throws(
    () => new Normalize({ mean: [0, 0, 0], std: [1, 1, 0] }),
    /std above 0, got \[0, 0, 0\] and \[1, 1, 0\]/,
  );
  assert.throws(() => new Normalize({ mean: [0], std: [1] }), /three values/);
});

test('an image smaller than the crop stands in the middle of black borders', () => {
  const transform = new Compose([
    new Resize(2),
    new CenterCrop(5),
    new ToTensor(),
    new Normalize(imagenet),
  ]);
  const bytes = transform.apply({ width: 1, height: 1, data: Uint8Array.of(9, 8, 7) });
  for (let y = 0; y < 5; y++) {
    for (let x = 0; x < 5; x++) {
      const inside = x >= 1 && x <= 2 && y >= 1 && y <= 2; // torchvision: (5 - 2) / 2 left, rounded down
      const at = (y * 5 + x) * 3;
      assert.deepEqual([...bytes.subarray(at, at + 3)], inside ? [9, 8, 7] : [0, 0, 0]);
    }
  }
});

test('bytes become (x/255 - mean)/std, each operation rounded to fp32', () => {
  const { fround } = Math;
  const floats = toFloat(Uint8Array.of(0, 128, 255), imagenet);
  const expected = [0, 128, 255].map((value, c) =>
    fround(fround(fround(value / 255) - fround(imagenet.mean[c]!)) / fround(imagenet.std[c]!)),
  );
  assert.deepEqual([...floats], expected);
});
