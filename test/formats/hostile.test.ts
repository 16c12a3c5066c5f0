/** Pickles that were made to do harm: each ends in one clear error, in little memory and time. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { PlusxError } from '../../src/errors.js';
import { packageRoot } from '../../src/package-root.js';
import {
  call,
  dict,
  global,
  int,
  legacyFile,
  pickle,
  tensor,
  text,
  torchZip,
  tuple,
  zeros,
} from './pickle-writer.js';
import { numbers, read, refused, state } from './refused.js';

test('the files below are good where nothing is wrong with them', async () => {
  const zip = await read(torchZip(state(), { 0: numbers }));
  const zip64 = await read(torchZip(state(), { 0: numbers }, [], { zip64: true, comment: 'PK' }));
  const legacy = await read(legacyFile(state(), { 0: numbers }));
  for (const { state } of [zip, zip64, legacy]) {
    assert.deepEqual([...state.get('weight')!.data], [1.5, -2]);
  }
});

test('a pickle that is longer than what is read first is read in full', async () => {
  const entries = Array.from({ length: 8000 }, (_, i) => [text(`t${i}`), tensor()] as const);
  const bytes = legacyFile(dict(entries), { 0: numbers });
  assert.ok(bytes.length > 2 ** 20);
  assert.equal((await read(bytes)).state.size, 8000);
});

describe('a pickle that wants something called', () => {
  const victim = path.join(packageRoot().root, 'dist/executed-by-a-pickle');
  const harm: [string, string][] = [
    ['os', 'system'],
    ['posix', 'system'],
    ['nt', 'system'],
    ['builtins', 'eval'],
    ['builtins', 'exec'],
    ['builtins', 'getattr'],
    ['__builtin__', 'eval'],
    ['subprocess', 'Popen'],
    ['torch', 'load'],
    ['torch.hub', 'load'],
    ['numpy', 'load'],
    ['collections', 'OrderedDict.__reduce__'],
    ['constructor', 'constructor'],
    ['__proto__', ''],
  ];
  for (const [module, name] of harm) {
    const command = `touch ${victim}`;
    const asksFor = new RegExp(`asks for "${module}\\.${name.replaceAll('.', '\\.')}", which`);

    test(`${module}.${name} is named, not called`, async () => {
      const attack = call(global(module, name), text(command));
      await refused(pickle(attack), 'checkpoint-unsafe', asksFor);
      await refused(torchZip(attack), 'checkpoint-unsafe', asksFor);
      await refused(legacyFile(state(attack), {}), 'checkpoint-unsafe', asksFor);
      const stacked = [text(module), text(name), '\x93', tuple(text(command)), 'R'];
      await refused(pickle(stacked), 'checkpoint-unsafe', asksFor);
      const built = [global(module, name), tuple(text(command)), '\x81}b'];
      await refused(pickle(built), 'checkpoint-unsafe', asksFor);
      assert.ok(!existsSync(victim));
    });
  }

  test('what is not on the list of opcodes is refused: INST, OBJ, EXT1, NEXT_BUFFER', async () => {
    for (const code of ['(ios\nsystem\n', '(cos\nsystem\no', '\x82\x01', '\x97']) {
      await refused(
        pickle(code),
        /^\(c/.test(code) ? 'checkpoint-unsafe' : 'checkpoint-malformed',
        /o/,
      );
    }
  });

  test('only a constructor can be called, and only with arguments of its own', async () => {
    const bad = 'checkpoint-malformed';
    await refused(pickle(text('eval'), ')R'), bad, /text is called/);
    await refused(
      pickle(global('collections', 'OrderedDict'), text('a'), 'R'),
      bad,
      /text instead of a/,
    );
    await refused(
      pickle(call(global('torch', 'FloatStorage'))),
      bad,
      /torch\.FloatStorage is called/,
    );
    await refused(pickle(call(global('numpy', 'dtype'), text('O8'))), bad, /dtype "O8"/);
    await refused(
      pickle(call(global('torch._utils', '_rebuild_tensor_v2'))),
      bad,
      /lies over missing/,
    );
    await refused(pickle(text('a'), '}b'), bad, /text is given a state/);
    await refused(pickle(call(global('_codecs', 'encode'), text('a'), text('hex'))), bad, /latin1/);
  });

  test('a name is shown without what misleads a terminal', async () => {
    const name = `\x1b[2K\u009b31m\u202e${'x'.repeat(5000)}`;
    const bytes = pickle([text('os'), text(name), '\x93']);
    await refused(bytes, 'checkpoint-unsafe', /"os\.\\u001b\[2K\\u009b31m\\u202ex{80,100}…"/);
  });
});

describe('bombs cost little memory and time', () => {
  /** What a file costs in the worst case, as a multiple of its size. */
  async function cheap(bytes: Uint8Array, code: string, message: RegExp): Promise<void> {
    const [begin, before] = [performance.now(), process.memoryUsage()];
    await refused(bytes, code, message);
    const after = process.memoryUsage();
    const taken = after.heapUsed + after.external - before.heapUsed - before.external;
    const limit = 4 * 2 ** 20 + 64 * bytes.length;
    assert.ok(taken < limit, `${taken} bytes for a file of ${bytes.length}`);
    assert.ok(performance.now() - begin < 10_000);
  }
  const twice = '2\x86'; // the value on top becomes a tuple of itself and itself
  const million = 1_000_000;

  test('tuples that double', () =>
    cheap(pickle(')', twice.repeat(10_000)), 'checkpoint-format', /holds a tuple/));
  test('tuples that double, without end', () =>
    cheap(pickle(')', twice.repeat(million)), 'checkpoint-limit', /its pickle would need more/));
  test('lists within lists, a million deep', () =>
    cheap(pickle(']'.repeat(million), 'a'.repeat(million - 1)), 'checkpoint-limit', /pickle/));
  test('dicts, a million of them', () =>
    cheap(pickle('}'.repeat(million)), 'checkpoint-limit', /pickle/));
  test('marks, a million of them', () =>
    cheap(pickle('('.repeat(million)), 'checkpoint-malformed', /none/));
  test('a memo with a million entries', () =>
    cheap(pickle('N', '\x94'.repeat(million)), 'checkpoint-limit', /pickle/));

  const large = ['(', 'K\x01'.repeat(50_000), 'l', 'q\x00'];
  test('a list that is copied again and again', () =>
    cheap(
      pickle(
        large,
        call(global('builtins', 'list'), 'h\x00'),
        [...'x'.repeat(2000)].map(() => '0h\x00\x85q\x010cbuiltins\nlist\nh\x01R'),
      ),
      'checkpoint-limit',
      /pickle/,
    ));
  test('bytes that are made of the same text again and again', () =>
    cheap(
      pickle(
        text('x'.repeat(100_000)),
        'q\x000',
        Array.from({ length: 2000 }, () =>
          call(global('_codecs', 'encode'), 'h\x00', text('latin1')),
        ),
      ),
      'checkpoint-limit',
      /pickle/,
    ));
  test('a tensor that is expanded a billion times', () =>
    cheap(
      torchZip(state(tensor({ shape: [2 ** 30], strides: [0] })), { 0: numbers }),
      'checkpoint-limit',
      /a tensor would need more than \d+ bytes/,
    ));
  test('ten thousand tensors over one storage', () => {
    const elements = 10_000;
    const entries = Array.from(
      { length: 10_000 },
      (_, i) => [text(`t${i}`), tensor({ elements, shape: [elements] })] as const,
    );
    return cheap(torchZip(dict(entries), { 0: zeros(elements) }), 'checkpoint-limit', /a tensor/);
  });
  test('a dict that holds itself', () =>
    cheap(pickle('}q\x00', text('model'), 'h\x00s'), 'checkpoint-empty', /"model" \(a dict\)/));
  test('a list that holds itself', () =>
    cheap(pickle(']q\x00h\x00a'), 'checkpoint-format', /holds a list/));
});

describe('lying lengths', () => {
  const uint64 = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    return bytes;
  };
  const cases: [string, Uint8Array, string, RegExp][] = [
    [
      'text beyond the end',
      pickle('X\xff\xff\xff\x7fabc'),
      'checkpoint-truncated',
      /2147483647 bytes/,
    ],
    ['bytes of 2^63', pickle('\x8e', uint64(2n ** 63n)), 'checkpoint-truncated', /truncated/],
    [
      'a long integer',
      pickle('\x8b\xff\xff\xff\x7f'),
      'checkpoint-malformed',
      /2147483647 bytes, plusx/,
    ],
    ['an integer of 255 bytes', pickle('\x8a\xff', 'x'.repeat(255)), 'checkpoint-malformed', /255/],
    [
      'an integer of many digits',
      pickle(`I${'9'.repeat(1000)}\n`),
      'checkpoint-malformed',
      /64 digits/,
    ],
    ['a line without end', pickle(`c${'x'.repeat(100_000)}`), 'checkpoint-malformed', /a line/],
    ['text that is none', pickle('X\x02\x00\x00\x00\xff\xfe'), 'checkpoint-malformed', /UTF-8/],
    ['protocol 9', Buffer.from('\x80\x02\x80\x09N.', 'latin1'), 'checkpoint-malformed', /is 9/],
    [
      'a tensor beyond its storage',
      torchZip(state(tensor({ shape: [3] })), { 0: numbers }),
      'checkpoint-malformed',
      /shape \[3\], strides \[1\] and offset 0 reaches beyond its storage of 2/,
    ],
    [
      'an offset beyond it',
      torchZip(state(tensor({ offset: 2 ** 40 })), { 0: numbers }),
      'checkpoint-malformed',
      /offset 1099511627776/,
    ],
    [
      'more elements than can be counted',
      torchZip(state(tensor({ shape: [2 ** 40, 2 ** 40], strides: [0, 0] })), { 0: numbers }),
      'checkpoint-malformed',
      /reaches beyond/,
    ],
    [
      'a negative stride',
      torchZip(state(tensor({ strides: [-1] })), { 0: numbers }),
      'checkpoint-malformed',
      /strides is -1, not a whole number of at least 0/,
    ],
    [
      'shape and strides of different lengths',
      torchZip(state(tensor({ strides: [1, 1] })), { 0: numbers }),
      'checkpoint-malformed',
      /shape \[2\], strides \[1,1\]/,
    ],
    [
      'a storage that is shorter than it says',
      torchZip(state(tensor({ elements: 4 })), { 0: numbers }),
      'checkpoint-malformed',
      /announces 16 bytes for the storage "0", the file has 8/,
    ],
    [
      'a storage that is not there',
      torchZip(state(tensor({ key: '../1' })), { 0: numbers }),
      'checkpoint-malformed',
      /no storage "..\/1"/,
    ],
    [
      'a legacy storage that is not there',
      legacyFile(state(), {}),
      'checkpoint-malformed',
      /no storage "0"/,
    ],
    [
      'a legacy storage that no tensor uses',
      legacyFile(state(), { 0: numbers, 1: numbers }),
      'checkpoint-malformed',
      /no tensor uses the storage "1"/,
    ],
    [
      'a legacy storage of another size',
      legacyFile(state(tensor({ elements: 1, shape: [1] })), { 0: numbers }),
      'checkpoint-malformed',
      /announces 4 bytes for the storage "0", the file has 8/,
    ],
    [
      'a legacy storage that is cut short',
      legacyFile(state(), { 0: numbers }).subarray(0, -1),
      'checkpoint-truncated',
      /storage "0" needs 8 bytes, there are 7/,
    ],
    [
      'the same key twice',
      torchZip(
        dict([
          [text('a'), tensor()],
          [text('a'), tensor()],
        ]),
        { 0: numbers },
      ),
      'checkpoint-malformed',
      /the key "a" twice/,
    ],
    [
      'a whole number for a shape',
      torchZip(dict([[text('a'), call(global('torch._utils', '_rebuild_tensor'), int(1))]])),
      'checkpoint-malformed',
      /lies over a number/,
    ],
  ];
  for (const [what, bytes, code, message] of cases) test(what, () => refused(bytes, code, message));

  test('a file that ends early, wherever it does', async () => {
    for (const name of ['zip.pth', 'legacy.pth', 'numpy-2.pkl', 'cifar-batch.pkl']) {
      const file = path.join(packageRoot().root, 'test/fixtures/weights', name);
      const whole = readFileSync(file);
      for (let length = 0; length < whole.length - 1; length += 1 + (length >> 7)) {
        await assert.rejects(read(whole.subarray(0, length)), (error) => {
          assert(error instanceof PlusxError, `${name} of ${length} bytes: ${String(error)}`);
          const codes = ['checkpoint-truncated', 'checkpoint-format', 'checkpoint-malformed'];
          assert.ok(codes.includes(error.code), `${name} of ${length} bytes: ${error.message}`);
          return true;
        });
      }
    }
  });
});
