/** Preprocessing against torchvision on Pillow, by hashes (scripts/fixtures/preprocessing.py). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { decodeFile } from '../../src/data/decode.js';
import { centerCrop, resizeBilinear, resizeShorterSide } from '../../src/data/resize.js';
import { imagenet, standardPreprocessing, toFloat } from '../../src/data/transforms.js';
import { packageRoot } from '../../src/package-root.js';

const { root } = packageRoot();
const shared = path.join(root, '../shared/data');
const fixture = <T>(name: string) =>
  JSON.parse(readFileSync(path.join(root, 'test/fixtures/preprocessing', name), 'utf8')) as T;

const sha = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** Byte i is the upper byte of i·2654435761 modulo 2^32, as the script draws it. */
function drawn([width, height]: readonly [number, number]) {
  const data = Uint8Array.from(
    { length: width * height * 3 },
    (_, i) => Math.imul(i, 2654435761) >>> 24,
  );
  return { width, height, data };
}

interface Synthetic {
  resized: { from: [number, number]; to: [number, number]; sha256: string }[];
  pipelines: { from: [number, number]; resize: number; crop: number; sha256: string }[];
}

test('resizing equals Pillow bit for bit, from and to any size', () => {
  for (const { from, to, sha256 } of fixture<Synthetic>('synthetic.json').resized) {
    const { data } = resizeBilinear(drawn(from), to[0], to[1]);
    assert.equal(sha(data), sha256, `${from.join('×')} to ${to.join('×')}`);
  }
});

test('Resize and CenterCrop equal torchvision’s, padding included', () => {
  for (const { from, resize, crop, sha256 } of fixture<Synthetic>('synthetic.json').pipelines) {
    const { data } = centerCrop(resizeShorterSide(drawn(from), resize), crop);
    assert.equal(sha(data), sha256, `${from.join('×')}, Resize(${resize}), CenterCrop(${crop})`);
  }
});

interface Photographs {
  images: { file: string; decoded: string; cropped: string; tensor: string }[];
}

test(
  'photographs: all pixels and tensors equal torchvision’s wherever the decoder agrees',
  { skip: existsSync(shared) ? false : '../shared/data is not there' },
  async (context) => {
    const { images } = fixture<Photographs>('photographs.json');
    const transform = standardPreprocessing(224, 'ignore');
    let identical = 0;
    for (const image of images) {
      const pixels = await decodeFile(path.join(shared, image.file), { exif: 'ignore' });
      if (sha(pixels.data) !== image.decoded) {
        context.diagnostic(`decoded otherwise than by Pillow: ${image.file}`);
        continue;
      }
      identical++;
      const bytes = transform.apply(pixels);
      assert.equal(sha(bytes), image.cropped, image.file);
      const floats = toFloat(bytes, imagenet);
      assert.equal(sha(new Uint8Array(floats.buffer)), image.tensor, image.file);
    }
    context.diagnostic(`${identical} of ${images.length} decoded bit-identically`);
    assert.ok(identical >= images.length * 0.95, `${identical} of ${images.length}`);
  },
);
