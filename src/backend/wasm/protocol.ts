/**
 * What the WASM backend and its threads say to each other. Plain data: a browser's Worker can speak
 * it as well as Node's worker_threads.
 */

/** Functions that a module instance exports. */
export interface ModuleExports {
  readonly __stack_pointer: WebAssembly.Global;
  readonly __heap_base: WebAssembly.Global;
  poolBytes(threads: number): number;
  poolInit(memory: number, threads: number): void;
  poolWorker(pool: number, index: number): void;
  poolStop(pool: number): void;
  run(pool: number, program: number, length: number, arena: number, seconds: number): number;
  measurePeaks(pool: number, memory: number, bytes: number, peaks: number): number;
}

/** What a thread starts with. Thread 0 runs programs; the others take tasks from the pool. */
export interface ThreadStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly pool: number;
  readonly index: number;
  /** End of the thread's own stack, which grows downwards. */
  readonly stackTop: number;
}

/** To thread 0, to run a program: addresses in the shared memory. */
export interface RunRequest {
  readonly kind: 'run';
  readonly program: number;
  readonly length: number;
  readonly arena: number;
  /** Where the time of each step goes; 0: they are not timed. */
  readonly seconds: number;
}

/** To thread 0, to measure the machine: addresses in the shared memory. */
export interface PeaksRequest {
  readonly kind: 'measurePeaks';
  readonly memory: number;
  readonly bytes: number;
  /** Where the two rates go. */
  readonly peaks: number;
}

export type Request = RunRequest | PeaksRequest;

/** From thread 0, one for each request, in order. */
export type RunReply = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Makes a thread's instance of the shared module. */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): ModuleExports & WebAssembly.Exports {
  const now = () => performance.now() / 1000;
  const { exports } = new WebAssembly.Instance(module, { env: { memory, now } });
  return exports as ModuleExports & WebAssembly.Exports;
}
