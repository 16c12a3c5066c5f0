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
  run(pool: number, program: number, length: number, arena: number): number;
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

/** To thread 0: addresses in the shared memory. */
export interface RunRequest {
  readonly program: number;
  readonly length: number;
  readonly arena: number;
}

/** From thread 0, one for each request, in order. */
export type RunReply = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Makes a thread's instance of the shared module. */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): ModuleExports & WebAssembly.Exports {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return exports as ModuleExports & WebAssembly.Exports;
}
