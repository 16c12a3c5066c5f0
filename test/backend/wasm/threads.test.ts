import assert from 'node:assert/strict';
import test from 'node:test';
import { WasmThreads } from '../../../src/backend/wasm/threads.js';

const section = (id: number, ...content: number[]) => [id, content.length, ...content];
const text = (name: string) => [name.length, ...Buffer.from(name)];
const body = (...instructions: number[]) => [instructions.length + 2, 0, ...instructions, 0x0b];

const unreachable = [0x00];
const forever = [0x03, 0x40, 0x0c, 0, 0x0b, 0x00]; // (loop (br 0)) (unreachable)

/** A module like the engine's, whose two entry points do nothing but these instructions. */
function moduleOf(run: readonly number[], poolWorker: readonly number[]): WebAssembly.Module {
  const i32 = 0x7f;
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 2, 0x60, 4, i32, i32, i32, i32, 1, i32, 0x60, 2, i32, i32, 0),
    ...section(2, 1, ...text('env'), ...text('memory'), 2, 3, 1, 1),
    ...section(3, 2, 0, 1),
    ...section(6, 1, i32, 1, 0x41, 0, 0x0b),
    ...section(
      ...[7, 3, ...text('__stack_pointer'), 3, 0],
      ...[...text('run'), 0, 0, ...text('poolWorker'), 0, 1],
    ),
    ...section(10, 2, ...body(...run), ...body(...poolWorker)),
  ];
  return new WebAssembly.Module(Uint8Array.from(bytes));
}

function start(module: WebAssembly.Module): WasmThreads {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  return new WasmThreads({ module, memory, pool: 0 }, [0, 0]);
}

const request = { kind: 'run', program: 0, length: 0, arena: 0, seconds: 0 } as const;

test('a trap in a program rejects the run and all later ones', async () => {
  const threads = start(moduleOf(unreachable, forever));
  const trapped = { code: 'engine-stopped', message: 'the WASM engine stopped: unreachable' };
  await assert.rejects(threads.run(request), trapped);
  await assert.rejects(threads.run(request), trapped);
  await threads.stop();
});

test('a trap in a helper rejects the run that would wait for it', async () => {
  const threads = start(moduleOf(forever, unreachable));
  const died = { code: 'engine-stopped', message: 'a thread of the WASM engine died: unreachable' };
  await assert.rejects(threads.run(request), died);
  await threads.stop();
});
