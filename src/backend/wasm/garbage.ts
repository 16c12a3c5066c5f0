/**
 * Asks the garbage collector to run, before memory is said to be exhausted: it knows nothing of how
 * large the WebAssembly memory is that unreachable executables hold.
 */
import { setTimeout } from 'node:timers/promises';
import v8 from 'node:v8';
import vm from 'node:vm';

/** Resolves when unreachable objects are gone and their finalizers have run. */
export async function collectGarbage(): Promise<void> {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc') as () => void;
  // What the caller has just let go of is still on its stack: collect on a fresh one.
  for (let i = 0; i < 2; i++) {
    await setTimeout(1);
    collect();
  }
  await setTimeout(1);
}
