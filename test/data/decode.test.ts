import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { decodeBytes, decodeFile, type Pixels } from '../../src/data/decode.js';
import { packageRoot } from '../../src/package-root.js';
import { withFolder } from '../formats/temporary-folder.js';

interface Expected {
  readonly size: readonly [number, number];
  readonly rgb: string;
}

interface Fixture {
  readonly modes: readonly (Expected & { readonly mode: string; readonly file: string })[];
  readonly orientations: readonly {
    readonly orientation: number;
    readonly file: string;
    readonly asStored: Expected;
    readonly upright: Expected;
  }[];
}

const file = path.join(packageRoot().root, 'test/fixtures/preprocessing/modes.json');
const fixture = JSON.parse(readFileSync(file, 'utf8')) as Fixture;
const bytesOf = (text: string) => Buffer.from(text, 'base64');
const unsupported = new Set(['bmp', 'ppm', 'pgm']);
const otherThanPillow = new Set(['png 16-bit grayscale', 'gif with a transparent colour']);

function fileOf(mode: string): Buffer {
  return bytesOf(fixture.modes.find((each) => each.mode === mode)!.file);
}

function assertPixels(found: Pixels, { size, rgb }: Expected, what: string): void {
  assert.deepEqual([found.width, found.height], size, what);
  assert.deepEqual(Buffer.from(found.data), bytesOf(rgb), what);
}

for (const { mode, file, ...expected } of fixture.modes) {
  if (unsupported.has(mode) || otherThanPillow.has(mode)) continue;
  test(`${mode}: the pixels are Pillow’s`, async () => {
    assertPixels(await decodeBytes(bytesOf(file), mode), expected, mode);
  });
}

test('16-bit grey is scaled to 8 bits where Pillow clips', async () => {
  const wide = await decodeBytes(fileOf('png 16-bit grayscale'), 'wide');
  const { rgb } = fixture.modes.find(({ mode }) => mode === 'png 16-bit rgb')!;
  const red = bytesOf(rgb).filter((_, i) => i % 3 === 0); // drawn with the same values
  assert.deepEqual(Buffer.from(wide.data), Buffer.from(Array.from(red, (v) => [v, v, v]).flat()));
});

test('transparent pixels of a GIF are black, all others Pillow’s', async () => {
  const { file, rgb } = fixture.modes.find(({ mode }) => mode.startsWith('gif with'))!;
  const { data } = await decodeBytes(bytesOf(file), 'gif');
  const expected = bytesOf(rgb);
  for (let p = 0; p < expected.length; p += 3) {
    const pixel = [...data.subarray(p, p + 3)];
    if (pixel.some((value) => value > 0)) {
      assert.deepEqual(pixel, [...expected.subarray(p, p + 3)]);
    }
  }
});

test('the picture is turned upright as EXIF says, or left as stored', async () => {
  for (const { orientation, file, asStored, upright } of fixture.orientations) {
    const bytes = bytesOf(file);
    assertPixels(await decodeBytes(bytes, 'x'), upright, `orientation ${orientation}`);
    assertPixels(await decodeBytes(bytes, 'x', { exif: 'ignore' }), asStored, `${orientation}`);
  }
});

test('AVIF is decoded', async () => {
  const background = { r: 200, g: 100, b: 50 };
  const picture = sharp({ create: { width: 20, height: 10, channels: 3, background } });
  const { width, height, data } = await decodeBytes(await picture.avif().toBuffer(), 'avif');
  assert.deepEqual([width, height], [20, 10]);
  for (const [c, value] of [200, 100, 50].entries()) assert.ok(Math.abs(data[c]! - value) < 8);
});

test('the content decides the format, not the name', async () => {
  await withFolder(async (folder) => {
    const name = path.join(folder, 'photo.jpg');
    await writeFile(name, fileOf('webp'));
    assert.equal((await decodeFile(name)).width, 13);
  });
});

const refused = (reason: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Error);
  assert.equal((error as { code?: string }).code, 'image-unreadable');
  assert.match(error.message, reason);
  assert.match(error.message, /photo/, 'names the file');
  assert.match(error.message, /--skip-bad/, 'names the next step');
  return true;
};

test('a truncated file is refused wherever it was cut', async () => {
  for (const { mode, file } of fixture.modes) {
    // The end of a PNG is a marker without pixels; further frames are of no concern.
    if (unsupported.has(mode) || mode === 'gif animated') continue;
    const bytes = bytesOf(file);
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.85]) {
      const cut = bytes.subarray(0, Math.floor(bytes.length * share));
      const what = /truncated|not an image in a known format/;
      await assert.rejects(decodeBytes(cut, 'photo'), refused(what), `${mode} cut at ${share}`);
    }
  }
});

test('a truncated photograph is called truncated', async () => {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const picture = sharp({ create: { width: 300, height: 200, channels: 3, background: 0, noise } });
  const bytes = await picture.jpeg().toBuffer();
  const cut = bytes.subarray(0, bytes.length - 100);
  await assert.rejects(decodeBytes(cut, 'photo'), refused(/photo: the image is truncated \(/));
});

test('what is no photograph is refused with the reason', async () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>';
  const cases: [Uint8Array, RegExp][] = [
    [Buffer.from('not a photograph'), /not an image in a known format/],
    [Buffer.from('<html></html>'), /not an image in a known format/],
    [Buffer.from(svg), /svg is not a photograph format/],
    [fileOf('bmp'), /BMP files are not supported; convert it to PNG or JPEG/],
    [fileOf('ppm'), /PNM files are not supported; convert it to PNG or JPEG/],
  ];
  for (const [bytes, reason] of cases) {
    await assert.rejects(decodeBytes(bytes, 'photo'), refused(reason));
  }
});

test('an empty and a missing file are refused with the reason', async () => {
  await withFolder(async (folder) => {
    const empty = path.join(folder, 'photo.jpg');
    await writeFile(empty, '');
    await assert.rejects(decodeFile(empty), refused(/photo\.jpg: the file is empty \(0 bytes\)/));
    const missing = path.join(folder, 'photo-2.jpg');
    await assert.rejects(decodeFile(missing), refused(/photo-2\.jpg: the file cannot be opened/));
  });
});

test('an absurdly large image is refused from its header, before memory is taken', async () => {
  const before = process.memoryUsage().rss;
  const bomb = png(60_000, 60_000);
  await assert.rejects(
    decodeBytes(bomb, 'photo'),
    refused(/60000×60000 = 3600000000 pixels, the limit is 100000000/),
  );
  assert.ok(process.memoryUsage().rss - before < 200e6);
  const small = decodeBytes(fileOf('png'), 'photo', { maxPixels: 100 });
  await assert.rejects(small, refused(/13×9 = 117 pixels, the limit is 100/));
});

/** A PNG of this size in its header and hardly any pixels. */
function png(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(100))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name), body]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, check]);
}

/** The check sum of PNG; node:zlib has it only from Node 20.15 on. */
function crc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
