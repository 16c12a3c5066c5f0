import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { PlusxError } from '../../src/errors.js';
import {
  decodeSafetensors,
  encodeSafetensors,
  maxHeaderBytes,
  type SafeTensor,
} from '../../src/formats/safetensors.js';
import { readSafetensors, writeSafetensors } from '../../src/formats/safetensors-file.js';
import { packageRoot } from '../../src/package-root.js';
import { Random } from '../../src/random/philox.js';
import { withFolder } from './temporary-folder.js';

const small: SafeTensor = { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, -0, NaN, 3e38) };

function fileOf(header: unknown, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([prefix, json, data]);
}

function expectError(bytes: Uint8Array, code: string, message: RegExp): void {
  assert.throws(
    () => decodeSafetensors(bytes, 'runs/a/last.safetensors'),
    (error) => {
      assert(error instanceof PlusxError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, /^runs\/a\/last\.safetensors/);
      assert.match(error.message, message);
      return true;
    },
  );
}

const entry = (shape: number[], offsets: number[], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: offsets,
});

test('what is written reads back bit for bit, metadata and odd keys included', () => {
  const tensors = new Map<string, SafeTensor>([
    ['pixels', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 255) }],
    ['weight', small],
    ['scalar', { dtype: 'F64', shape: [], data: Float64Array.of(Math.PI) }],
    ['none', { dtype: 'F32', shape: [0, 4], data: new Float32Array(0) }],
    ['counter', { dtype: 'I64', shape: [1], data: BigInt64Array.of(-(2n ** 60n)) }],
    ['a "quoted" ключ', { dtype: 'I32', shape: [1], data: Int32Array.of(-7) }],
  ]);
  const metadata = { format: 'pt', json: '{"a":[1,2]}' };
  const bytes = Buffer.concat(encodeSafetensors({ tensors, metadata }));
  const read = decodeSafetensors(bytes, 'memory');
  assert.deepEqual(read.metadata, metadata);
  assert.equal(read.tensors.size, tensors.size);
  for (const [key, tensor] of tensors) assert.deepEqual(read.tensors.get(key), tensor, key);
});

test('the data begins at a multiple of 8 bytes, wide elements first', () => {
  const tensors = new Map<string, SafeTensor>([
    ['pixels', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }],
    ['weight', small],
  ]);
  const [head, first] = encodeSafetensors({ tensors, metadata: {} });
  assert.equal(head!.length % 8, 0);
  assert.equal(first!.length, 16);
});

test('a file of the Python implementation is read', async () => {
  const file = path.join(packageRoot().root, 'test/fixtures/safetensors/python.safetensors');
  const { tensors, metadata } = await readSafetensors(file);
  assert.deepEqual(metadata, { format: 'pt', who: 'Zoë "quoted"' });
  const weight = tensors.get('weight')!;
  assert.deepEqual(weight.shape, [2, 3, 2, 2]);
  assert.deepEqual(
    weight.data,
    Float32Array.from({ length: 24 }, (_, i) => i / 8 - 1),
  );
  assert.deepEqual(tensors.get('bias')!.data, Float32Array.of(-0, Infinity, 1.5e-42));
  assert.deepEqual(tensors.get('scalar'), {
    dtype: 'F64',
    shape: [],
    data: Float64Array.of(0.1),
  });
  assert.deepEqual(tensors.get('empty')!.shape, [0, 3]);
  assert.deepEqual(tensors.get('num_batches_tracked')!.data, BigInt64Array.of(2n ** 40n + 3n));
  assert.deepEqual(tensors.get('labels')!.data, Int32Array.of(-1, 2));
  assert.deepEqual(tensors.get('pixels')!.data, Uint8Array.of(0, 127, 255));
});

test('a truncated file is refused wherever it ends, with both sizes', () => {
  const whole = Buffer.concat(
    encodeSafetensors({ tensors: new Map([['weight', small]]), metadata: { a: 'b' } }),
  );
  for (let length = 0; length < whole.length; length++) {
    expectError(whole.subarray(0, length), 'checkpoint-truncated', /truncated.*there are \d+/);
  }
  expectError(whole.subarray(0, -3), 'checkpoint-truncated', /16 bytes of tensors, there are 13/);
});

test('what is no safetensors at all is refused with the reason', () => {
  expectError(Buffer.from('just some text in a file'), 'checkpoint-malformed', /header of \d+ byt/);
  const huge = Buffer.alloc(16);
  huge.writeBigUInt64LE(BigInt(maxHeaderBytes) + 1n);
  expectError(huge, 'checkpoint-malformed', /10000001 bytes, plusx reads up to 10000000/);
  expectError(fileOf('{"a":'), 'checkpoint-malformed', /JSON header/);
  expectError(fileOf('[]'), 'checkpoint-malformed', /no JSON object/);
  expectError(fileOf(Buffer.from([0xff, 0xfe]).toString('latin1')), 'checkpoint-malformed', /JSON/);
});

test('a header that contradicts itself is refused, the tensor named', () => {
  const data = new Uint8Array(16);
  const cases: [unknown, RegExp][] = [
    [{ a: entry([3], [0, 16]) }, /"a" of dtype F32 and shape \[3\] needs 12 bytes.* hold 16/],
    [{ a: entry([2], [0, 8]), b: entry([2], [4, 12]) }, /"b" begins at byte 4.*ends at 8/],
    [{ a: entry([1], [0, 4]), b: entry([2], [8, 16]) }, /"b" begins at byte 8.*ends at 4/],
    [{ a: entry([2], [8, 16]) }, /"a" begins at byte 8.*ends at 0/],
    [{ a: entry([2], [0, 8]) }, /tensors end at byte 8 of the data, the file has 16/],
    [{ a: entry([2], [8, 0]) }, /"a"/],
    [{ a: entry([-4], [0, 16]) }, /"a" has no valid.*shape/],
    [{ a: entry([1.5], [0, 16]) }, /"a" has no valid.*shape/],
    [{ a: entry([2 ** 40, 2 ** 40], [0, 16]) }, /"a"/],
    [{ a: { ...entry([4], [0, 16]), more: 1 } }, /"a" has no valid/],
    [{ __metadata__: { a: 1 }, b: entry([4], [0, 16]) }, /__metadata__/],
    ['{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":1}', /key "a" twice/],
    ['{"a":{"dtype":"F32","dtype":"U8","shape":[16],"data_offsets":[0,16]}}', /"dtype" twice/],
  ];
  for (const [header, message] of cases) {
    expectError(fileOf(header, data), 'checkpoint-malformed', message);
  }
});

test('a dtype that is not read is refused by name', () => {
  const file = fileOf({ a: entry([16], [0, 16], 'F8_E4M3') }, new Uint8Array(16));
  expectError(file, 'checkpoint-dtype', /"a" has dtype "F8_E4M3", plusx reads F64, F32, F16, BF16/);
  expectError(
    fileOf({ a: entry([8], [0, 16], 'toString') }, new Uint8Array(16)),
    'checkpoint-dtype',
    /toString/,
  );
});

test('a key named __proto__ is a key like any other', () => {
  const header = '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
  const { tensors } = decodeSafetensors(fileOf(header, Uint8Array.of(9)), 'memory');
  assert.deepEqual(tensors.get('__proto__')!.data, Uint8Array.of(9));
});

test('ten thousand random mutations of a file end in tensors or in a PlusxError', () => {
  const whole = Buffer.concat(
    encodeSafetensors({
      tensors: new Map([
        ['weight', small],
        ['bias', { dtype: 'U8', shape: [5], data: new Uint8Array(5) } as const],
      ]),
      metadata: { format: 'pt', 'plusx.model': '{"name":"resnet18"}' },
    }),
  );
  const random = new Random(1, 'bench');
  let refused = 0;
  for (let round = 0; round < 10_000; round++) {
    const mutated = mutate(whole, random);
    try {
      decodeSafetensors(mutated, 'mutated');
    } catch (error) {
      assert(error instanceof PlusxError, `round ${round}: ${String(error)}`);
      refused++;
    }
  }
  assert(refused > 5000 && refused < 10_000, `${refused} refused`);
});

function mutate(file: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(file);
  for (let count = 1 + random.below(3); count > 0; count--) {
    bytes[random.below(bytes.length)] = random.pick([0, 0x22, 0x30, 0x39, 0x5b, 0x7d, 0xff]);
  }
  if (random.chance(0.2)) return bytes.subarray(0, random.below(bytes.length));
  if (random.chance(0.2)) return Buffer.concat([bytes, bytes.subarray(0, random.below(20))]);
  return bytes;
}

test('files that are missing, folders or of no use are named', async () => {
  await withFolder(async (folder) => {
    const missing = path.join(folder, 'missing.safetensors');
    await assert.rejects(readSafetensors(missing), { code: 'checkpoint-not-found' });
    await assert.rejects(readSafetensors(folder), {
      code: 'checkpoint-not-a-file',
      message: /is no file; name a checkpoint/,
    });
    const empty = path.join(folder, 'empty.safetensors');
    await writeFile(empty, '');
    await assert.rejects(readSafetensors(empty), {
      code: 'checkpoint-truncated',
      message: /empty\.safetensors is truncated: .* 8 bytes, there are 0/,
    });
  });
});

test('a file written and read by path is the same', async () => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'a.safetensors');
    const content = { tensors: new Map([['weight', small]]), metadata: { a: 'b' } };
    await writeSafetensors(file, content);
    assert.deepEqual(await readSafetensors(file), content);
  });
});
