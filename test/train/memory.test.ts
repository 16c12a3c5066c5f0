/**
 * A long run takes no more memory than a short one: what a training step allocates is gone after it.
 *
 * In a process of its own, as the tests' own memory would blur the figure, and after a garbage
 * collection, with V8's young generation held at one size (it grows once, by 4 MB) and after a hundred
 * steps in which V8 compiles what is hot. Then the figure varies by about 0.6 %. The limit of 2 % is 1.5 MB over 180 steps: eight kilobytes a step, a third of
 * one batch's images.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { listDevices } from '../../src/backend/devices.js';

const program = path.join(path.dirname(fileURLToPath(import.meta.url)), 'memory-process.js');

for (const { name, available, reason } of await listDevices()) {
  if (name === 'reference') continue;
  const skip = available ? false : (reason ?? true);
  test(`${name}: 200 training steps leave as much memory as 20`, { skip }, async (t) => {
    const args = ['--expose-gc', '--max-semi-space-size=1', program, name, '20', '200'];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const [early, late] = JSON.parse(stdout) as [number, number];
    t.diagnostic(`resident after 20 steps ${early} bytes, after 200 ${late}`);
    assert.ok(Math.abs(late - early) <= 0.02 * early, `${early} bytes, then ${late}`);
  });
}
