/**
 * The native backend: C++ kernels behind a small addon. One asynchronous call a training step, on
 * its own threads; the event loop stays free.
 */
import os from 'node:os';
import { PlusxError } from '../../errors.js';
import { elementCount } from '../../graph/graph.js';
import type { Plan, Slot } from '../../plan/plan.js';
import type { Backend, Executable, TensorData } from '../backend.js';
import { encodeProgram } from '../program.js';
import { allocateLike, expectData, expectSameState } from '../transfer.js';
import { loadAddon, type Addon, type NativeArena, type NativePool } from './addon.js';

export { buildNative, type BuildOptions, type BuildResult } from './build.js';

export interface NativeOptions {
  /** Default: the processors that this process may use. */
  readonly threads?: number;
  /** `avx512`, `avx2`, `x86-64-v2`, `neon`. Default: the best that the processor has. */
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
  const pool = addon.createPool(threads, instructionSet);
  return {
    name: 'native',
    description: `native (${instructionSet}, ${threads} ${threads === 1 ? 'thread' : 'threads'})`,
    instructionSet,
    threads,
    capabilities: { convAlgorithms: ['gemm'] },
    compile(plan, sharing) {
      const shared = sharing instanceof NativeExecutable ? sharing.memory : undefined;
      if (sharing) expectSameState(sharing.plan, plan);
      const memory = shared ?? { arena: allocate(addon, plan.arenaBytes) };
      if (shared) grow(addon, shared.arena, plan.arenaBytes);
      return Promise.resolve(new NativeExecutable(addon, pool, memory, plan));
    },
    dispose: () => Promise.resolve(),
  };
}

interface Memory {
  readonly arena: NativeArena;
}

class NativeExecutable implements Executable {
  private readonly program: Int32Array;

  constructor(
    private readonly addon: Addon,
    private readonly pool: NativePool,
    readonly memory: Memory,
    readonly plan: Plan,
  ) {
    this.program = encodeProgram(plan);
  }

  async run(inputs: Readonly<Record<string, TensorData>>): Promise<void> {
    for (const [name, slot] of Object.entries(this.plan.inputs)) {
      expectData(name, slot, inputs[name]);
      this.addon.write(this.memory.arena, slot.offset, inputs[name]!);
    }
    await this.addon.run(this.pool, this.memory.arena, this.program);
  }

  read(slot: Slot): Promise<TensorData> {
    const data = allocateLike(slot.dtype, elementCount(slot.shape));
    this.addon.read(this.memory.arena, slot.offset, data);
    return Promise.resolve(data);
  }

  write(slot: Slot, data: TensorData): Promise<void> {
    expectData('a slot', slot, data);
    this.addon.write(this.memory.arena, slot.offset, data);
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    this.addon.freeArena(this.memory.arena);
    return Promise.resolve();
  }
}

function allocate(addon: Addon, bytes: number): NativeArena {
  try {
    return addon.createArena(bytes);
  } catch (error) {
    throw outOfMemory(error, bytes);
  }
}

function grow(addon: Addon, arena: NativeArena, bytes: number): void {
  try {
    addon.growArena(arena, bytes);
  } catch (error) {
    throw outOfMemory(error, bytes);
  }
}

function outOfMemory(error: unknown, bytes: number): unknown {
  if (!(error instanceof Error) || error.message !== 'out of memory') return error;
  return new PlusxError(
    'out-of-memory',
    `this run needs ${(bytes / 1e9).toFixed(2)} GB of memory, which the system does not give ` +
      `(${(os.freemem() / 1e9).toFixed(2)} GB are free); use a smaller batch or smaller images`,
    { needed: bytes },
  );
}
