/** The bytes of a .pth file, which PyTorch itself reads in test/train/export-python.test.ts. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { crc32 } from '../../src/formats/crc32.js';
import { maxZipBytes, storedZip, zipBytes } from '../../src/formats/zip-writer.js';
import { encodePth, type PthTensor } from '../../src/formats/torch/write-archive.js';

const tensors: readonly PthTensor[] = [
  {
    key: 'conv1.weight',
    shape: [300, 2, 1, 1],
    data: Float32Array.from({ length: 600 }, (_, i) => Math.sqrt(i)),
  },
  { key: 'bn1.num_batches_tracked', shape: [], data: BigInt64Array.of(70_000n) },
  { key: 'fc.Füße', shape: [3], data: Float32Array.of(0.5, -1, Infinity) },
];

interface ReadEntry {
  readonly name: string;
  readonly start: number;
  readonly data: Buffer;
}

/** By the central directory, as PyTorch reads it; asserts that both headers say the same. */
function readZip(zip: Buffer): ReadEntry[] {
  const end = zip.length - 22;
  assert.equal(zip.readUInt32LE(end), 0x06054b50);
  const entries: ReadEntry[] = [];
  let at = zip.readUInt32LE(end + 16);
  for (let i = 0; i < zip.readUInt16LE(end + 10); i++) {
    assert.equal(zip.readUInt32LE(at), 0x02014b50);
    const nameLength = zip.readUInt16LE(at + 28);
    const local = zip.readUInt32LE(at + 42);
    assert.equal(zip.readUInt32LE(local), 0x04034b50);
    // From the needed version to the length of the name, both headers are alike.
    const described = (from: number) => zip.subarray(from, from + 24);
    assert.deepEqual(described(local + 4), described(at + 6));
    const name = zip.subarray(at + 46, at + 46 + nameLength);
    assert.deepEqual(zip.subarray(local + 30, local + 30 + nameLength), name);
    const start = local + 30 + nameLength + zip.readUInt16LE(local + 28);
    const data = zip.subarray(start, start + zip.readUInt32LE(at + 20));
    assert.equal(zip.readUInt32LE(at + 16), crc32(data));
    entries.push({ name: name.toString(), start, data });
    at += 46 + nameLength;
  }
  assert.equal(at, end);
  return entries;
}

describe('a .pth file', () => {
  const file = Buffer.concat(encodePth(tensors));
  const entries = readZip(file);

  test('has the entries of PyTorch, stored, each at a multiple of 64 bytes', () => {
    assert.deepEqual(
      entries.map(({ name }) => name),
      [
        'archive/data.pkl',
        'archive/.format_version',
        'archive/.storage_alignment',
        'archive/byteorder',
        'archive/data/0',
        'archive/data/1',
        'archive/data/2',
        'archive/version',
        'archive/.data/serialization_id',
      ],
    );
    for (const { name, start } of entries) assert.equal(start % 64, 0, name);
  });

  test('holds the numbers as they are', () => {
    tensors.forEach(({ data }, i) => {
      const entry = entries.find(({ name }) => name === `archive/data/${i}`)!;
      assert.deepEqual(Uint8Array.from(entry.data), new Uint8Array(data.buffer));
    });
  });

  test('pickles names, shapes and strides, and looks up nothing but tensors and a dictionary', () => {
    const pickle = entries[0]!.data.toString('latin1');
    const looked = new Set(pickle.match(/c(collections|torch[\w.]*)\n\w+\n/g));
    assert.deepEqual(
      [...looked].sort(),
      [
        'ccollections\nOrderedDict\n',
        'ctorch\nFloatStorage\n',
        'ctorch\nLongStorage\n',
        'ctorch._utils\n_rebuild_tensor_v2\n',
      ].sort(),
    );
    assert.ok(pickle.startsWith('\x80\x02') && pickle.endsWith('u.'));
    // (300, 2, 1, 1) with strides (2, 1, 1, 1): 300 needs four bytes.
    assert.ok(pickle.includes('(J\x2c\x01\0\0K\x02K\x01K\x01t(K\x02K\x01K\x01K\x01t'));
    const key = Buffer.from('fc.Füße').toString('latin1');
    assert.ok(pickle.includes(`X\x09\0\0\0${key}`));
  });

  // PyTorch 2.15 has read exactly these bytes: torch.load(…, weights_only=True), all values equal.
  test('has the bytes that PyTorch has read', () => {
    const hash = createHash('sha256').update(file).digest('hex');
    assert.equal(hash, '039105ef6e1bdeccc13a9a25473dccda993dd2039ba56b6d1d8634ba1977d1f0');
  });
});

test('CRC-32 is that of its definition', () => {
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
  assert.equal(crc32(new Uint8Array()), 0);
});

test('the bytes of an archive are known before it is made', () => {
  const entries = [1, 63, 64, 65].map((bytes) => {
    return { name: `n${'x'.repeat(bytes)}`, data: new Uint8Array(bytes) };
  });
  const bytes = storedZip(entries).reduce((sum, { length }) => sum + length, 0);
  assert.ok(bytes <= zipBytes(entries) && zipBytes(entries) <= bytes + 64 * entries.length);
});

test('a file of more than four gigabytes is refused before anything is written', () => {
  const data = new Float32Array(2 ** 24);
  const many = Array.from({ length: 64 }, (_, i) => ({
    key: `weight${i}`,
    shape: [2 ** 24],
    data,
  }));
  assert.throws(() => encodePth(many), {
    code: 'pth-too-large',
    message: new RegExp(
      `would have 42949\\d{5} bytes, plusx writes ${maxZipBytes} at most; export it`,
    ),
  });
});
