import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import type { Pixels } from '../../src/data/decode.js';
import { centerCrop, resizeAndCrop, resizeShorterSide } from '../../src/data/resize.js';
import { packageRoot } from '../../src/package-root.js';
import { Random } from '../../src/random/philox.js';

const fixture = path.join(packageRoot().root, 'test/fixtures/preprocessing/synthetic.json');

interface Pipeline {
  readonly from: [number, number];
  readonly resize: number;
  readonly crop: number;
  readonly sha256: string;
}

/** Byte i is the upper byte of i·2654435761 modulo 2^32, as the fixture script draws it. */
function drawn(width: number, height: number): Pixels {
  const data = Uint8Array.from(
    { length: width * height * 3 },
    (_, i) => Math.imul(i, 2654435761) >>> 24,
  );
  return { width, height, data };
}

test('resizing only what the crop keeps equals torchvision bit for bit', () => {
  const { pipelines } = JSON.parse(readFileSync(fixture, 'utf8')) as { pipelines: Pipeline[] };
  for (const { from, resize, crop, sha256 } of pipelines) {
    const { data } = resizeAndCrop(drawn(...from), resize, crop);
    const found = createHash('sha256').update(data).digest('hex');
    assert.equal(found, sha256, `${from.join('×')}, Resize(${resize}), CenterCrop(${crop})`);
  }
});

test('resizing only what the crop keeps equals cropping the whole', () => {
  const random = new Random(0, 'demo');
  for (let i = 0; i < 200; i++) {
    const image = drawn(1 + random.below(90), 1 + random.below(90));
    const size = 1 + random.below(40);
    const crop = 1 + random.below(48);
    assert.deepEqual(
      resizeAndCrop(image, size, crop),
      centerCrop(resizeShorterSide(image, size), crop),
      `${image.width}×${image.height}, Resize(${size}), CenterCrop(${crop})`,
    );
  }
});

test('a strip one pixel wide is preprocessed without drawing it at full length', () => {
  const length = 1_000_000; // whole, it would take 256 × 256,000,000 × 3 bytes
  for (const [width, height] of [
    [1, length],
    [length, 1],
  ] as const) {
    const { data } = resizeAndCrop(drawn(width, height), 256, 224);
    assert.equal(data.length, 224 * 224 * 3);
    assert.ok(data.some((value) => value > 0));
  }
});
