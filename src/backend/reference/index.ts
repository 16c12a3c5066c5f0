/**
 * The reference backend: plain TypeScript, obvious and slow, the oracle of every test.
 *
 * Sums are kept in float64 and rounded once, on the store. It chooses no algorithm and no
 * workspace: it computes each step by its definition in plan.ts.
 */
import { fromBfloat16, toBfloat16 } from '../../graph/bfloat16.js';
import { elementCount } from '../../graph/graph.js';
import type { Plan, Slot } from '../../plan/plan.js';
import type { Backend, Executable, TensorData } from '../backend.js';
import { totalMemory } from '../memory.js';
import { Preparation } from '../preparation.js';
import { arrayTypes, expectData, expectSameState } from '../transfer.js';
import { measurePeaks } from './peaks.js';
import { runStep } from './steps.js';

/** One arena, shared by the executables of one model. */
export class Arena {
  readonly preparation = new Preparation();
  /** The bfloat16 tensors of the step that runs, as it computes with them. By offset. */
  private readonly maps = new Map<number, { readonly slot: Slot; readonly values: Float32Array }>();
  private bytes = new ArrayBuffer(0);

  /** Grows to at least `size` bytes; what it held stays. */
  reserve(size: number): void {
    if (size <= this.bytes.byteLength) return;
    const larger = new ArrayBuffer(size);
    new Uint8Array(larger).set(new Uint8Array(this.bytes));
    this.bytes = larger;
  }

  /** The memory of a slot itself, not a copy. */
  view(slot: Slot): TensorData {
    return new arrayTypes[slot.dtype](this.bytes, slot.offset, elementCount(slot.shape));
  }

  /** The memory of a slot; or what a bf16 one holds, to be stored by `roundMaps`. */
  f32(slot: Slot): Float32Array {
    if (slot.dtype === 'bf16') return this.mapOf(slot);
    if (slot.dtype !== 'f32') throw new Error(`internal: a slot is ${slot.dtype}, not f32`);
    return this.view(slot) as Float32Array;
  }

  /** After each step: its bfloat16 tensors go back to memory, rounded once. */
  roundMaps(): void {
    for (const { slot, values } of this.maps.values()) this.view(slot).set(toBfloat16(values));
    this.maps.clear();
  }

  private mapOf(slot: Slot): Float32Array {
    const known = this.maps.get(slot.offset);
    if (known) return known.values;
    const values = fromBfloat16(this.view(slot) as Uint16Array);
    this.maps.set(slot.offset, { slot, values });
    return values;
  }

  release(): void {
    this.bytes = new ArrayBuffer(0);
  }
}

class ReferenceExecutable implements Executable {
  constructor(
    readonly plan: Plan,
    readonly arena: Arena,
  ) {}

  async run(inputs: Readonly<Record<string, TensorData>>): Promise<void> {
    await this.profile(inputs);
  }

  async profile(inputs: Readonly<Record<string, TensorData>>): Promise<Float64Array> {
    for (const [name, slot] of Object.entries(this.plan.inputs)) {
      expectData(name, slot, inputs[name]);
      this.arena.view(slot).set(inputs[name]!);
    }
    return this.arena.preparation.around(this, (first) => this.runFrom(first));
  }

  private async runFrom(first: number): Promise<Float64Array> {
    const seconds = new Float64Array(this.plan.steps.length);
    for (const [i, step] of this.plan.steps.entries()) {
      if (i < first) continue;
      const start = performance.now();
      runStep(step, this.arena);
      this.arena.roundMaps();
      seconds[i] = (performance.now() - start) / 1000;
      // Slow as it is, it lets timers and progress bars run between steps.
      await new Promise(setImmediate);
    }
    return seconds;
  }

  read(slot: Slot): Promise<TensorData> {
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

export function openReference(): Backend {
  return {
    name: 'reference',
    description: 'reference (TypeScript, 1 thread)',
    instructionSet: 'typescript',
    threads: 1,
    capabilities: { convAlgorithms: ['direct'] },
    memoryLimitBytes: totalMemory(),
    compile(plan, sharing) {
      const arena = sharing instanceof ReferenceExecutable ? sharing.arena : new Arena();
      if (sharing) expectSameState(sharing.plan, plan);
      arena.reserve(plan.arenaBytes);
      return Promise.resolve(new ReferenceExecutable(plan, arena));
    },
    measurePeaks,
    dispose: () => Promise.resolve(),
  };
}
