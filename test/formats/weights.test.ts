/** Files as PyTorch and numpy write them (scripts/fixtures/weights.py), read without executing them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource } from '../../src/formats/byte-source.js';
import { isFloat, toFloat32 } from '../../src/formats/dtype.js';
import { inspectWeights } from '../../src/formats/inspect.js';
import { Dict, NumpyArray } from '../../src/formats/pickle/values.js';
import { encodeSafetensors, type SafeTensor } from '../../src/formats/safetensors.js';
import { readPickle } from '../../src/formats/torch/legacy.js';
import { readWeights, readWeightsFrom, withWeights } from '../../src/formats/weights.js';
import { packageRoot } from '../../src/package-root.js';
import { withFolder } from './temporary-folder.js';

const folder = path.join(packageRoot().root, 'test/fixtures/weights');
const at = (name: string) => path.join(folder, name);

interface Described {
  readonly dtype: string;
  readonly shape: number[];
  readonly values: string | string[];
}

/** What the file holds, as the script describes it. */
async function described(file: string, entry?: string): Promise<Record<string, Described>> {
  return withWeights(
    file,
    async ({ tensors }) => {
      const found: Record<string, Described> = {};
      for (const [key, { dtype, shape, read }] of tensors) {
        const data = await read();
        const values = isFloat(dtype)
          ? Buffer.from(toFloat32(dtype, data).slice().buffer).toString('hex')
          : Array.from(data, String);
        found[key] = { dtype, shape: [...shape], values };
      }
      return found;
    },
    { entry },
  );
}

const expected = (name: string) =>
  JSON.parse(readFileSync(at(name), 'utf8')) as Record<string, Described>;

describe('what PyTorch saved is read bit for bit', () => {
  const cases = {
    'zip.pth': ['zip.json', 'pytorch-zip'],
    'legacy.pth': ['legacy.json', 'pytorch-legacy'],
    'wrapped.pth': ['wrapped.json', 'pytorch-zip'],
    'wrapped-legacy.pth': ['wrapped-legacy.json', 'pytorch-legacy'],
    'big-endian.pth': ['big-endian.json', 'pytorch-zip'],
    'numpy-2.pkl': ['numpy.json', 'pickle'],
    'numpy-4.pkl': ['numpy.json', 'pickle'],
  } as const;
  for (const [file, [json, format]] of Object.entries(cases)) {
    test(`${file}: every dtype, strided, shared and empty tensors`, async () => {
      assert.deepEqual(await described(at(file)), expected(json));
      assert.equal((await inspectWeights(at(file))).format, format);
    });
  }
});

test('weights are float32, counters are passed over', async () => {
  const { state } = await readWeights(at('zip.pth'));
  assert.ok(!state.has('num_batches_tracked') && !state.has('bool'));
  assert.deepEqual(state.get('double')!.data, Float32Array.of(0.1, Infinity, -0));
  assert.deepEqual(state.get('shared.b')!.shape, [4, 5]);
});

test('halves in a safetensors file become float32', async () => {
  const tensors = new Map<string, SafeTensor>([
    ['half', { dtype: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xfbff) }],
    ['bfloat16', { dtype: 'BF16', shape: [2], data: Uint16Array.of(0x3f80, 0xc049) }],
    ['count', { dtype: 'I8', shape: [1], data: Int8Array.of(-1) }],
  ]);
  const bytes = Buffer.concat(encodeSafetensors({ tensors, metadata: {} }));
  const { state } = await readWeightsFrom(memorySource(bytes, 'half.safetensors'));
  assert.deepEqual([...state.keys()].sort(), ['bfloat16', 'half']);
  assert.deepEqual(state.get('half')!.data, Float32Array.of(1, -65504));
  assert.deepEqual(state.get('bfloat16')!.data, Float32Array.of(1, -3.140625));
});

test('what a file is decides, not what it is called', async () => {
  await withFolder(async (temporary) => {
    const renamed = path.join(temporary, 'weights.safetensors');
    await writeFile(renamed, readFileSync(at('legacy.pth')));
    assert.equal((await readWeights(renamed)).format, 'pytorch-legacy');
  });
});

describe('wrappers', () => {
  test('are undone and named, with what else could have been read', async () => {
    const { entry, otherEntries, notes, metadata } = await readWeights(at('wrapped.pth'));
    assert.equal(entry, 'state_dict');
    assert.deepEqual(otherEntries, ['ema']);
    assert.match(notes[0]!, /^read "state_dict" of .*wrapped\.pth; it also has "ema"$/);
    assert.deepEqual(metadata, { epoch: '7', arch: 'tiny' });
  });

  test('an entry is read where it is named, and missed by name', async () => {
    const plain = await described(at('wrapped.pth'));
    const ema = await described(at('wrapped.pth'), 'ema');
    assert.notDeepEqual(ema, plain);
    assert.deepEqual(Object.keys(ema), Object.keys(plain));
    await assert.rejects(readWeights(at('wrapped.pth'), { entry: 'emo' }), {
      code: 'checkpoint-entry',
      message: /has no dict "emo"; there it has "epoch" \(a number\), .*"ema" \(a dict\)/,
    });
    const safetensors = path.join(folder, '../safetensors/python.safetensors');
    await assert.rejects(readWeights(safetensors, { entry: 'ema' }), { code: 'checkpoint-entry' });
  });
});

test('inspecting counts parameters without running statistics', async () => {
  const report = await inspectWeights(at('wrapped.pth'));
  assert.equal(report.parameters, 3 * 2 + 2 + 2 + 2);
  assert.deepEqual(report.tensors[0], {
    key: 'module.0.weight',
    dtype: 'F32',
    shape: [2, 3],
    bytes: 24,
  });
});

describe('what holds no weights is refused with the next step', () => {
  const refused = (name: string, code: string, message: RegExp) =>
    assert.rejects(readWeights(at(name)), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });

  test('an exported program', () =>
    refused('torchscript.pt', 'checkpoint-program', /TorchScript.*torch\.jit\.load\(path\)/));
  test('a whole model', () =>
    refused(
      'whole-model.pth',
      'checkpoint-unsafe',
      /asks for "torch\.nn\.modules\.linear\.Linear".*save its tensors alone/,
    ));
  test('a batch of images', () =>
    refused('cifar-batch.pkl', 'checkpoint-empty', /no weights \(1 tensors of U8/));

  const strangers: [string, string | Uint8Array, RegExp][] = [
    ['a pointer of Git LFS', 'version https://git-lfs.github.com/spec/v1\n', /git lfs pull/],
    ['a web page', '<!DOCTYPE html><html>', /web page.*download it again/],
    ['gzip', Buffer.from('1f8b0800000000000000', 'hex'), /gzip.*gunzip/],
    ['Keras', Buffer.from('894844460d0a1a0a00', 'hex'), /HDF5/],
    ['ONNX', Buffer.from('080a1207706c757378', 'hex'), /ONNX model, which plusx writes/],
    ['a tar archive', 'a'.repeat(257) + 'ustar\0' + '0'.repeat(250), /tar archive/],
    ['text', 'just some text in a file', /neither safetensors nor a file of PyTorch/],
  ];
  for (const [what, content, message] of strangers) {
    test(what, async () => {
      const source = memorySource(Buffer.from(content), 'model.pth');
      await assert.rejects(readWeightsFrom(source), { code: 'checkpoint-format', message });
    });
  }
});

test('a CIFAR-10 batch of Python 2 is a dict of plain data', async () => {
  const batch = await readPickle(memorySource(readFileSync(at('cifar-batch.pkl')), 'data_batch_1'));
  assert(batch instanceof Dict);
  assert.deepEqual(batch.get('labels'), [6, 9]);
  const data = batch.get('data');
  assert(data instanceof NumpyArray);
  assert.deepEqual([data.shape, data.dtype], [[2, 3072], 'U8']);
  assert.deepEqual([...data.bytes.subarray(0, 3)], [3, 10, 17]);
  const meta = await readPickle(memorySource(readFileSync(at('cifar-meta.pkl')), 'batches.meta'));
  assert(meta instanceof Dict);
  assert.deepEqual(meta.get('label_names'), ['airplane', 'automobile']);
  assert.equal(meta.get('num_cases_per_batch'), 10000);
  assert.equal(meta.get('x'), 1.5);
});
