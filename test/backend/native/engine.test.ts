import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import test from 'node:test';
import { openBackend, type InstructionSet } from '../../../src/backend/devices.js';
import { loadAddon } from '../../../src/backend/native/addon.js';
import { openNative } from '../../../src/backend/native/index.js';
import { stepKinds } from '../../../src/backend/program.js';
import type { PlusxError } from '../../../src/errors.js';
import { testEngine } from '../engine-behaviour.js';
import { fillPlan, sumPlan } from '../plans.js';

const skip = await openNative().then(
  () => false as const,
  (error: PlusxError) => error.message,
);

testEngine({ open: openNative, module: 'backend/native/index.js', name: 'openNative', skip });

for (const [what, bytes] of [
  ['more memory than any processor addresses', 2 ** 60],
  ['half as much memory again as the machine has', 64 * Math.ceil((1.5 * os.totalmem()) / 64)],
] as const) {
  test(`a plan of ${what} says what it needs and what to do`, { skip }, async () => {
    const backend = await openNative({ threads: 1 });
    const needed = `needs ${(bytes / 1e9).toFixed(2)} GB of memory`;
    const expectRefusal = (error: PlusxError) => {
      assert.equal(error.code, 'out-of-memory');
      assert.ok(error.message.includes(needed), error.message);
      assert.match(error.message, /it has [\d.]+ [GM]B, [\d.]+ [GM]B of them free/);
      assert.match(error.message, /use a smaller batch or smaller images/);
      assert.deepEqual(error.details, { needed: bytes });
      return true;
    };
    await assert.rejects(backend.compile(fillPlan(bytes)), expectRefusal);
    // An arena that is to grow that far keeps what it holds.
    const small = await backend.compile(sumPlan(1));
    const total = small.plan.state.slots.total!;
    await small.write(total, Float32Array.of(1, 2, 3));
    const large = { ...sumPlan(1, small.plan.state), arenaBytes: bytes };
    await assert.rejects(backend.compile(large, small), expectRefusal);
    assert.deepEqual(await small.read(total), Float32Array.of(1, 2, 3));
    await backend.dispose();
  });
}

test('an instruction set that this processor lacks is refused with those it has', { skip }, () =>
  assert.rejects(openNative({ instructionSet: 'avx1024' }), {
    code: 'unknown-instruction-set',
    message: /this processor has no avx1024; it has (avx512|avx2|x86-64-v2|neon|generic)/,
  }),
);

test('openBackend takes the instruction set that is asked for, by auto too', { skip }, async () => {
  const [best] = loadAddon().instructionSets() as InstructionSet[];
  for (const device of ['auto', 'native'] as const) {
    const backend = await openBackend({ device, instructionSet: best!, threads: 1 });
    assert.deepEqual([backend.name, backend.instructionSet], ['native', best]);
    await backend.dispose();
  }
});

test('an instruction set that is not known, or of another device, is refused', async () => {
  await assert.rejects(openBackend({ instructionSet: 'avx3' as InstructionSet }), {
    code: 'unknown-instruction-set',
    message: /"avx3" is not known; did you mean "avx2"\? Known: avx512-bf16, avx512, avx2/,
  });
  await assert.rejects(openBackend({ device: 'wasm', instructionSet: 'avx2' }), {
    code: 'option',
    message: /"avx2", which the device "wasm" does not have; take the device "native"/,
  });
});

test('the addon knows every opcode and refuses what is no program', { skip }, async () => {
  const addon = loadAddon();
  const pool = addon.createPool(1, addon.instructionSets()[0]!);
  const arena = addon.createArena(64);
  const run = (...words: number[]) => addon.run(pool, arena, Int32Array.from(words));
  // An update of no values.
  const last = [stepKinds.indexOf('adamW'), 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  assert.equal(last[0], stepKinds.length - 1);
  await run(...last);
  const malformed = /internal: the program is malformed/;
  assert.throws(() => run(2 * stepKinds.length, 0), malformed);
  // AdamW has no maps that could be bfloat16.
  assert.throws(() => run(2 * stepKinds.length - 1, 0), malformed);
  assert.throws(() => run(-1, 0), malformed);
  assert.throws(() => run(0), malformed);
  assert.throws(() => run(...last.slice(0, -1)), malformed);
});

const notLinux = os.platform() !== 'linux' && 'a thread is told its processors on Linux only';

test('threads keep all the processors that they may use', { skip: skip || notLinux }, async () => {
  const before = allowedProcessors(['self']);
  const backend = await openNative({ threads: 2 });
  const executable = await backend.compile(fillPlan(2 ** 20));
  for (let run = 0; run < 200; run++) await executable.run({});
  const threads = readdirSync('/proc/self/task').map((id) => `self/task/${id}`);
  assert.deepEqual(allowedProcessors(threads), before);
  await backend.dispose();
});

/** As the system lists them, each list once. */
function allowedProcessors(tasks: readonly string[]): string[] {
  const lists = tasks.map((task) => {
    const status = readFileSync(`/proc/${task}/status`, 'utf8');
    return /^Cpus_allowed_list:\s*(.*)$/m.exec(status)![1]!;
  });
  return [...new Set(lists)];
}
