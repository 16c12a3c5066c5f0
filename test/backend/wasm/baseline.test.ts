/**
 * V8's baseline compiler, under which every WASM engine starts, loses locals that are alive across a
 * thread's wait (seen in V8 11.3): a kernel that goes on after its first half had then no second one.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const program = path.join(path.dirname(fileURLToPath(import.meta.url)), 'baseline-process.js');

test('a kernel goes on where it waited for other threads, in unoptimised code too', async () => {
  const args = ['--liftoff-only', program, '6'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  assert.equal(stdout, '6');
});
