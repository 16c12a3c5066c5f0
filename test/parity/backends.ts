/** Every engine of this machine; one that is not there carries the reason to skip with. */
import type { Backend } from '../../src/backend/backend.js';
import { openNative } from '../../src/backend/native/index.js';
import { openReference } from '../../src/backend/reference/index.js';
import { openWasm } from '../../src/backend/wasm/index.js';
import { PlusxError } from '../../src/errors.js';

export interface Engine {
  readonly title: string;
  readonly backend: Backend | null;
  /** Why it is missing, as node:test's option; false where it is there. */
  readonly skip: string | false;
}

async function engine(title: string, open: () => Promise<Backend>): Promise<Engine> {
  try {
    return { title, backend: await open(), skip: false };
  } catch (error) {
    if (!(error instanceof PlusxError)) throw error;
    return { title, backend: null, skip: error.message };
  }
}

/** Native with each instruction set and WASM, with `threads` threads. */
export async function fastEngines(threads: number): Promise<Engine[]> {
  const sets = ['avx512-bf16', 'avx512', 'avx2', 'x86-64-v2', 'neon'];
  const native = sets.map((instructionSet) =>
    engine(`native ${instructionSet}`, () => openNative({ threads, instructionSet })),
  );
  return Promise.all([...native, engine('wasm', () => openWasm({ threads }))]);
}

/** The fast engines and the reference. */
export async function allEngines(threads: number): Promise<Engine[]> {
  const reference = await engine('reference', () => Promise.resolve(openReference()));
  return [reference, ...(await fastEngines(threads))];
}
