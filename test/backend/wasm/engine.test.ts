import assert from 'node:assert/strict';
import test from 'node:test';
import { openWasm } from '../../../src/backend/wasm/index.js';
import type { PlusxError } from '../../../src/errors.js';
import { testEngine } from '../engine-behaviour.js';
import { convolutionInputs, convolutionsPlan, fillPlan } from '../plans.js';

testEngine({ open: openWasm, module: 'backend/wasm/index.js', name: 'openWasm', skip: false });

test('it has relaxed SIMD, which Node 20 keeps behind a flag', async () => {
  const backend = await openWasm({ threads: 1 });
  assert.equal(backend.instructionSet, 'wasm128-relaxed');
  await backend.dispose();
});

test('it leaves relaxed SIMD out where it is asked to', async () => {
  const backend = await openWasm({ threads: 1, instructionSet: 'wasm128' });
  assert.equal(backend.instructionSet, 'wasm128');
  assert.equal(backend.capabilities.tileRows, 5);
  await backend.dispose();
});

test('a plan that does not fit says what it needs, what there is and what to do', async () => {
  const backend = await openWasm({ threads: 1 });
  await assert.rejects(backend.compile(fillPlan(5.2e9)), (error: PlusxError) => {
    assert.equal(error.code, 'out-of-memory');
    assert.match(error.message, /needs 5\.20 GB, WebAssembly has at most \d\.\d\d GB left/);
    assert.match(error.message, /smaller batch, smaller images, or the native engine/);
    assert.equal(typeof error.details.available, 'number');
    return true;
  });
  await backend.dispose();
});

test('executables that nobody holds any more make room for new ones', async () => {
  const backend = await openWasm({ threads: 1 });
  for (let i = 0; i < 8; i++) await backend.compile(fillPlan(1.5e9));
  await backend.dispose();
});

test('a stopped backend rejects, runs under way too', async () => {
  const backend = await openWasm({ threads: 2 });
  const executable = await backend.compile(convolutionsPlan(2));
  const stopped = (error: PlusxError) =>
    error.code === 'engine-stopped' && error.message === 'the WASM engine was stopped';
  const running = assert.rejects(executable.run(convolutionInputs), stopped);
  await backend.dispose();
  await running;
  await assert.rejects(executable.run(convolutionInputs), stopped);
});
