/** Which Python the benchmark takes, with stand-ins for it: no test needs PyTorch. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findPython } from '../../bench/pytorch/python.js';

const skip = process.platform === 'win32' && 'the stand-ins are shell scripts';

describe('the Python of the benchmark', { skip }, () => {
  const { PATH } = process.env;
  let folder = '';
  const cache = () => path.join(folder, 'cache');
  const quiet = () => {};

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'plusx-python-'));
    process.env.PATH = `${folder}${path.delimiter}${PATH}`;
  });
  after(async () => {
    process.env.PATH = PATH;
    await rm(folder, { recursive: true });
  });

  /** A `python3` that runs these lines of shell. */
  async function standIn(lines: string): Promise<string> {
    const file = path.join(folder, 'python3');
    await writeFile(file, `#!/bin/sh\n${lines}\n`);
    await chmod(file, 0o755);
    return file;
  }

  test('is the one that is named, where it has PyTorch', async () => {
    const file = await standIn('exit 0');
    assert.equal(await findPython(file, cache(), quiet), file);
    assert.ok(!existsSync(cache()));
  });

  test('is not replaced by another where the one that is named lacks it', async () => {
    const file = await standIn('echo "No module named torch" >&2; exit 1');
    await assert.rejects(findPython(file, cache(), quiet), {
      code: 'python',
      message: /python3 cannot import .*\(No module named torch\); install them with .*pip install/,
    });
  });

  test("is the system's where no environment can be made", async () => {
    await standIn('case "$2" in venv) exit 1;; esac');
    const said: string[] = [];
    assert.equal(await findPython(undefined, cache(), (line) => said.push(line)), 'python3');
    assert.match(said[0]!, /installing PyTorch into .*venv \(once/);
    assert.match(said[1]!, /could not be installed .*taking the system's python3/);
  });

  test('is an environment of its own, made once', async () => {
    // Makes an environment whose interpreter is itself.
    await standIn('case "$2" in venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";; esac');
    const said: string[] = [];
    for (let i = 0; i < 2; i++) {
      const found = await findPython(undefined, cache(), (line) => said.push(line));
      assert.equal(found, path.join(cache(), 'venv/bin/python'));
    }
    assert.equal(said.length, 1);
  });

  test('is missed with all that was tried', async () => {
    await standIn('echo "nothing here" >&2; exit 1');
    await rm(cache(), { recursive: true });
    await assert.rejects(findPython(undefined, cache(), quiet), {
      code: 'python',
      message: /no Python with PyTorch .*venv.*python3: nothing here; name one .*--python <path>/,
    });
  });
});
