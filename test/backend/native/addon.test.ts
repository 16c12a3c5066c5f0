/** What happens where the built addon is not what it should be, in a cache of its own. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import { openBackend } from '../../../src/backend/devices.js';
import { builtPath } from '../../../src/backend/native/addon.js';
import { openNative } from '../../../src/backend/native/index.js';
import type { PlusxError } from '../../../src/errors.js';

const built = await readFile(builtPath()).catch(() => Buffer.alloc(0));
const cache = await mkdtemp(path.join(tmpdir(), 'plusx-addon-'));
after(() => rm(cache, { recursive: true, force: true }));

/** The addon for another processor: e_machine, at byte 18 of an ELF file, is that of a SPARC. */
function forAnotherProcessor(): Buffer {
  const other = Buffer.from(built);
  other.writeUInt16LE(2, 18);
  return other;
}

const isElf = built.subarray(1, 4).toString() === 'ELF';
const broken: readonly {
  readonly title: string;
  readonly content: () => Buffer;
  readonly skip?: string | false;
}[] = [
  { title: 'empty', content: () => Buffer.alloc(0) },
  { title: 'text', content: () => Buffer.from('not an addon\n'.repeat(1000)) },
  {
    title: 'built for another processor',
    content: forAnotherProcessor,
    skip: isElf ? false : 'there is no built addon in ELF here',
  },
];

for (const { title, content, skip = false } of broken) {
  const what = `an addon that is ${title} is named, and "auto" runs on WASM without a compiler`;
  test(what, { skip }, async (t) => {
    const { env } = process;
    const before = { PLUSX_CACHE: env.PLUSX_CACHE, PATH: env.PATH, CXX: env.CXX };
    t.after(() => {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete env[name];
        else env[name] = value;
      }
    });
    Object.assign(env, { PLUSX_CACHE: path.join(cache, title), PATH: cache, CXX: '' });
    const file = builtPath();
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content());

    await assert.rejects(openNative(), (error: PlusxError) => {
      assert.equal(error.code, 'native-unavailable');
      assert.ok(error.message.includes(`${file} does not load (`), error.message);
      assert.match(error.message, /build it with "npx plusx build-native"/);
      return true;
    });

    const notices: string[] = [];
    const backend = await openBackend({ threads: 1, onNotice: (line) => notices.push(line) });
    assert.equal(backend.name, 'wasm');
    assert.equal(notices.length, 1);
    assert.match(notices[0]!, /^running on WASM: .* no C\+\+ compiler was found/);
    assert.ok(notices[0]!.includes(`${file} does not load (`), notices[0]);
    await backend.dispose();
  });
}
