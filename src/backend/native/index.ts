/**
 * The native backend: C++ kernels behind a small addon. One asynchronous call a training step, on
 * its own threads; the event loop stays free.
 */
import os from 'node:os';
import { bytesText, PlusxError } from '../../errors.js';
import { elementCount } from '../../graph/graph.js';
import type { Plan, Slot } from '../../plan/plan.js';
import type { Backend, Executable, TensorData } from '../backend.js';
import { freeMemory, totalMemory } from '../memory.js';
import { peaksMemoryBytes, peaksOf } from '../peaks.js';
import { Preparation } from '../preparation.js';
import { capabilitiesOf, encodeProgram, stepStart } from '../program.js';
import { allocateLike, expectData, expectSameState } from '../transfer.js';
import { loadAddon, type Addon, type NativeArena, type NativePool } from './addon.js';

export { buildNative, type BuildOptions, type BuildResult } from './build.js';

export interface NativeOptions {
  /** Default: the processors that this process may use. */
  readonly threads?: number;
  /** `avx512-bf16`, `avx512`, `avx2`, `x86-64-v2`, `neon`. Default: the best that the processor has. */
  readonly instructionSet?: string;
}

/** Opens the native engine; throws `native-unavailable` where it is not built or does not load. */
// Asynchronous like every other way to a backend, though loading an addon is not.
// eslint-disable-next-line @typescript-eslint/require-await
export async function openNative(options: NativeOptions = {}): Promise<Backend> {
  return backendOf(loadAddon(), options);
}

export function backendOf(addon: Addon, options: NativeOptions): Backend {
  const { threads = os.availableParallelism() } = options;
  const known = addon.instructionSets();
  const instructionSet = options.instructionSet ?? known[0];
  if (instructionSet === undefined || !known.includes(instructionSet)) {
    throw new PlusxError(
      'unknown-instruction-set',
      `this processor has no ${options.instructionSet ?? 'known instruction set'}; ` +
        `it has ${known.join(', ') || 'none that plusx knows'}`,
    );
  }
  const pool = new Pool(addon.createPool(threads, instructionSet));
  return {
    name: 'native',
    description: `native (${instructionSet}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`,
    instructionSet,
    threads,
    capabilities: capabilitiesOf(instructionSet),
    memoryLimitBytes: totalMemory(),
    // eslint-disable-next-line @typescript-eslint/require-await
    async compile(plan, sharing) {
      const shared = sharing instanceof NativeExecutable ? sharing.memory : undefined;
      if (sharing) expectSameState(sharing.plan, plan);
      const memory = shared ?? {
        arena: allocate(addon, plan.arenaBytes),
        preparation: new Preparation(),
        state: 'idle',
      };
      if (shared) grow(addon, shared.arena, plan.arenaBytes);
      return new NativeExecutable(addon, pool, memory, plan);
    },
    async measurePeaks() {
      const arena = allocate(addon, peaksMemoryBytes);
      const rates = await pool.use((threads) => addon.measurePeaks(threads, arena));
      addon.freeArena(arena);
      return peaksOf(rates);
    },
    dispose: () => Promise.resolve(),
  };
}

/** The threads: they do one thing at a time, in the order in which they were asked. */
class Pool {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly pool: NativePool) {}

  use<T>(work: (pool: NativePool) => Promise<T>): Promise<T> {
    const result = this.last.then(() => work(this.pool));
    this.last = result.catch(() => {});
    return result;
  }
}

/** What the executables of one model share. */
interface Memory {
  readonly arena: NativeArena;
  readonly preparation: Preparation;
  state: 'idle' | 'running' | 'freed';
}

class NativeExecutable implements Executable {
  private readonly program: Int32Array;

  constructor(
    private readonly addon: Addon,
    private readonly pool: Pool,
    readonly memory: Memory,
    readonly plan: Plan,
  ) {
    this.program = encodeProgram(plan);
  }

  async run(inputs: Readonly<Record<string, TensorData>>): Promise<void> {
    await this.start(inputs, (pool, arena, first) =>
      this.addon.run(pool, arena, this.programFrom(first)),
    );
  }

  profile(inputs: Readonly<Record<string, TensorData>>): Promise<Float64Array> {
    return this.start(inputs, async (pool, arena, first) =>
      Preparation.timesOfAll(first, await this.addon.profile(pool, arena, this.programFrom(first))),
    );
  }

  private programFrom(step: number): Int32Array {
    return this.program.subarray(stepStart(this.program, step));
  }

  /** One run at a time: the next one's inputs would come too early. */
  private async start<T>(
    inputs: Readonly<Record<string, TensorData>>,
    work: (pool: NativePool, arena: NativeArena, first: number) => Promise<T>,
  ): Promise<T> {
    const { memory } = this;
    if (memory.state === 'freed') throw new Error('internal: the executable was disposed of');
    this.expectNoRun();
    for (const [name, slot] of Object.entries(this.plan.inputs)) {
      expectData(name, slot, inputs[name]);
      this.addon.write(memory.arena, slot.offset, inputs[name]!);
    }
    memory.state = 'running';
    try {
      return await memory.preparation.around(this, (first) =>
        this.pool.use((pool) => work(pool, memory.arena, first)),
      );
    } finally {
      memory.state = 'idle';
    }
  }

  read(slot: Slot): Promise<TensorData> {
    const data = allocateLike(slot.dtype, elementCount(slot.shape));
    this.addon.read(this.memory.arena, slot.offset, data);
    return Promise.resolve(data);
  }

  write(slot: Slot, data: TensorData): Promise<void> {
    expectData('a slot', slot, data);
    this.memory.preparation.forget();
    this.addon.write(this.memory.arena, slot.offset, data);
    return Promise.resolve();
  }

  // Asynchronous like every other way to free memory, though freeing it here is not.
  // eslint-disable-next-line @typescript-eslint/require-await
  async dispose(): Promise<void> {
    this.expectNoRun();
    this.addon.freeArena(this.memory.arena);
    this.memory.state = 'freed';
  }

  private expectNoRun(): void {
    if (this.memory.state === 'running') throw new Error('internal: a run is already under way');
  }
}

function allocate(addon: Addon, bytes: number): NativeArena {
  return withinMemory(bytes, () => addon.createArena(bytes));
}

function grow(addon: Addon, arena: NativeArena, bytes: number): void {
  withinMemory(bytes, () => addon.growArena(arena, bytes));
}

/**
 * Throws `out-of-memory` where the system refuses, and where it could not keep its promise: many
 * hand out more than there is, and end the process that uses it.
 */
function withinMemory<T>(bytes: number, ask: () => T): T {
  if (bytes > totalMemory()) throw outOfMemory(bytes);
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof Error) || error.message !== 'out of memory') throw error;
    throw outOfMemory(bytes);
  }
}

function outOfMemory(bytes: number): PlusxError {
  const [needed, free, total] = [bytes, freeMemory(), totalMemory()].map(bytesText);
  return new PlusxError(
    'out-of-memory',
    `this run needs ${needed} of memory, which the system does not give ` +
      `(it has ${total}, ${free} of them free); use a smaller batch or smaller images`,
    { needed: bytes },
  );
}
