/**
 * The WASM backend: the native engine's C++ sources as WebAssembly SIMD, on worker threads that
 * share one memory. Needs no compiler; the event loop stays free.
 */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PlusxError } from '../../errors.js';
import { elementCount } from '../../graph/graph.js';
import { packageRoot } from '../../package-root.js';
import type { Plan, Slot } from '../../plan/plan.js';
import type { Backend, Executable, TensorData } from '../backend.js';
import { totalMemory } from '../memory.js';
import { peaksMemoryBytes, peaksOf } from '../peaks.js';
import { Preparation } from '../preparation.js';
import { capabilitiesOf, encodeProgram, stepStart } from '../program.js';
import { arrayTypes, expectData, expectSameState } from '../transfer.js';
import { collectGarbage } from './garbage.js';
import { Heap } from './heap.js';
import { instantiate, type RunRequest } from './protocol.js';
import { hasRelaxedSimd } from './relaxed-simd.js';
import { WasmThreads } from './threads.js';

export interface WasmOptions {
  /** Default: the processors that this process may use. */
  readonly threads?: number;
  /** Default: with relaxed SIMD where this process has it. */
  readonly instructionSet?: keyof typeof modules;
}

const stackBytes = 2 ** 20;
const pageBytes = 65536;

/**
 * All of the memory is asked for at once: pages that nothing touches cost nothing, and in V8 a
 * thread that sleeps inside WebAssembly does not learn that a shared memory has grown. Smaller
 * sizes follow for systems that promise no more than they have.
 */
const memoryBytes = [4, 2, 1, 0.5].map((gibibytes) => gibibytes * 2 ** 30);

/** What the module is compiled for. */
const modules = { wasm128: 'plusx.wasm', 'wasm128-relaxed': 'plusx-relaxed.wasm' } as const;

/** Opens the WASM engine; throws `wasm-unavailable` where the module is missing. */
export async function openWasm(options: WasmOptions = {}): Promise<Backend> {
  const best = hasRelaxedSimd() ? 'wasm128-relaxed' : 'wasm128';
  const { threads = os.availableParallelism(), instructionSet = best } = options;
  const module = await compileModule(modules[instructionSet]);
  const memory = allocateMemory();
  const instance = instantiate(module, memory);
  const heap = new Heap(memory.buffer.byteLength, instance.__heap_base.value as number);
  const pool = heap.allocate(instance.poolBytes(threads));
  instance.poolInit(pool, threads);
  const stacks = Array.from({ length: threads }, () => heap.allocate(stackBytes) + stackBytes);
  const running = new WasmThreads({ module, memory, pool }, stacks);
  const engine: Engine = { memory, heap, running };
  return {
    name: 'wasm',
    description: `wasm (${instructionSet}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`,
    instructionSet,
    threads,
    capabilities: capabilitiesOf(instructionSet),
    memoryLimitBytes: Math.min(memory.buffer.byteLength, totalMemory()),
    async compile(plan, sharing) {
      if (sharing) expectSameState(sharing.plan, plan);
      const allocate = () => {
        const shared = sharing instanceof WasmExecutable ? sharing.arena : undefined;
        const arena = shared ?? new WasmArena(engine);
        arena.reserve(plan);
        return new WasmExecutable(engine, arena, plan);
      };
      try {
        return allocate();
      } catch (error) {
        if (!(error instanceof PlusxError && error.code === 'out-of-memory')) throw error;
        await collectGarbage();
        return allocate();
      }
    },
    async measurePeaks() {
      const memory = heap.allocate(peaksMemoryBytes);
      const request = { kind: 'measurePeaks', memory, bytes: peaksMemoryBytes } as const;
      const rates = await withNumbers(engine, 2, (peaks) => running.run({ ...request, peaks }));
      heap.release(memory, peaksMemoryBytes);
      return peaksOf(rates);
    },
    dispose: () => running.stop(),
  };
}

interface Engine {
  readonly memory: WebAssembly.Memory;
  readonly heap: Heap;
  readonly running: WasmThreads;
}

/** Has `count` float64 numbers written to an address, and copies them out. */
async function withNumbers(
  { heap, memory }: Engine,
  count: number,
  write: (address: number) => Promise<void>,
): Promise<Float64Array> {
  const bytes = count * Float64Array.BYTES_PER_ELEMENT;
  const address = heap.allocate(bytes);
  try {
    await write(address);
    return new Float64Array(memory.buffer, address, count).slice();
  } finally {
    heap.release(address, bytes);
  }
}

/** Frees what the garbage collector found unused: users never do. */
const released = new FinalizationRegistry<() => void>((release) => release());

/** Memory of the executables of one model; offsets in plans count from its start. */
class WasmArena {
  readonly preparation = new Preparation();
  private readonly piece = { address: 0, bytes: 0 };
  private busy = false;

  constructor(private readonly engine: Engine) {
    const { piece } = this;
    released.register(this, () => releasePiece(engine.heap, piece));
  }

  /** Runs a program on it. One at a time: the next one's inputs would come too early. */
  async run(program: Omit<RunRequest, 'kind' | 'arena'>): Promise<void> {
    this.expectMemory();
    this.busy = true;
    try {
      await this.engine.running.run({ kind: 'run', ...program, arena: this.piece.address });
    } finally {
      this.busy = false;
    }
  }

  /** Throws while a run is under way, which nothing may disturb. */
  expectIdle(): void {
    if (this.busy) throw new Error('internal: a run is already under way');
  }

  /** Makes room for a plan. What it held stays; state that is new is zero. */
  reserve({ arenaBytes, state }: Plan): void {
    const { piece, engine } = this;
    if (arenaBytes <= piece.bytes) return;
    this.expectIdle();
    const address = engine.heap.allocate(arenaBytes);
    const memory = new Uint8Array(engine.memory.buffer);
    memory.copyWithin(address, piece.address, piece.address + piece.bytes);
    if (piece.bytes === 0) memory.fill(0, address, address + state.bytes);
    releasePiece(engine.heap, piece);
    piece.address = address;
    piece.bytes = arenaBytes;
  }

  /** A view of a slot's memory; stale once anything is allocated. */
  view(slot: Slot): TensorData {
    const { buffer } = this.engine.memory;
    this.expectMemory();
    const start = this.piece.address + slot.offset;
    return new arrayTypes[slot.dtype](buffer, start, elementCount(slot.shape));
  }

  release(): void {
    this.expectIdle();
    releasePiece(this.engine.heap, this.piece);
  }

  private expectMemory(): void {
    if (this.piece.bytes === 0) throw new Error('internal: the executable was disposed of');
  }
}

function releasePiece(heap: Heap, piece: { address: number; bytes: number }): void {
  if (piece.bytes > 0) heap.release(piece.address, piece.bytes);
  piece.bytes = 0;
}

class WasmExecutable implements Executable {
  private readonly program: {
    readonly address: number;
    readonly length: number;
    /** Behind the steps that prepare. */
    readonly prepared: number;
  };

  constructor(
    private readonly engine: Engine,
    readonly arena: WasmArena,
    readonly plan: Plan,
  ) {
    const words = encodeProgram(plan);
    const address = engine.heap.allocate(words.byteLength);
    new Int32Array(engine.memory.buffer, address, words.length).set(words);
    const prepared = stepStart(words, plan.prepareSteps);
    this.program = { address, length: words.length, prepared };
    released.register(this, () => engine.heap.release(address, words.byteLength));
  }

  run(inputs: Readonly<Record<string, TensorData>>): Promise<void> {
    return this.start(inputs, (first) => this.runFrom(first, 0));
  }

  profile(inputs: Readonly<Record<string, TensorData>>): Promise<Float64Array> {
    return this.start(inputs, async (first) => {
      const count = this.plan.steps.length - first;
      const run = (seconds: number) => this.runFrom(first, seconds);
      return Preparation.timesOfAll(first, await withNumbers(this.engine, count, run));
    });
  }

  private async start<T>(
    inputs: Readonly<Record<string, TensorData>>,
    work: (first: number) => Promise<T>,
  ): Promise<T> {
    this.arena.expectIdle();
    for (const [name, slot] of Object.entries(this.plan.inputs)) {
      expectData(name, slot, inputs[name]);
      this.arena.view(slot).set(inputs[name]!);
    }
    return this.arena.preparation.around(this, work);
  }

  private runFrom(step: number, seconds: number): Promise<void> {
    const { address, length, prepared } = this.program;
    const skipped = step === 0 ? 0 : prepared;
    const program = address + skipped * Int32Array.BYTES_PER_ELEMENT;
    return this.arena.run({ program, length: length - skipped, seconds });
  }

  read(slot: Slot): Promise<TensorData> {
    // A copy in memory of its own: views of shared memory cannot be handed to everyone.
    return Promise.resolve(this.arena.view(slot).slice());
  }

  write(slot: Slot, data: TensorData): Promise<void> {
    expectData('a slot', slot, data);
    this.arena.preparation.forget();
    this.arena.view(slot).set(data);
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    this.arena.release();
    return Promise.resolve();
  }
}

function allocateMemory(): WebAssembly.Memory {
  for (const bytes of memoryBytes) {
    const pages = bytes / pageBytes;
    try {
      return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    } catch {
      continue;
    }
  }
  const smallest = memoryBytes.at(-1)! / 2 ** 20;
  throw new PlusxError(
    'wasm-unavailable',
    `the WASM engine is not available: the system gives no ${smallest} MiB of memory; ` +
      'close other programs or raise the limit',
  );
}

async function compileModule(name: string): Promise<WebAssembly.Module> {
  const file = path.join(packageRoot().root, 'dist/wasm', name);
  const bytes = await readFile(file).catch(() => {
    throw new PlusxError(
      'wasm-unavailable',
      `the WASM engine is not available: ${file} is missing; reinstall plusx, ` +
        'or in a checkout run "npm run build"',
    );
  });
  return WebAssembly.compile(bytes);
}
