/**
 * Whether what a plan prepared from the state is still there. Executables of one model share an
 * arena: any run of another may have changed the state and has used the same memory, and any write
 * from outside may be to the state. So an arena knows whose run was the last; only that executable
 * leaves its preparation out.
 */
import type { Executable } from './backend.js';

/** Of one arena. */
export class Preparation {
  private lastRun: Executable | null = null;
  private writes = 0;

  /** To be called when anything is written to the arena from outside. */
  forget(): void {
    this.lastRun = null;
    this.writes++;
  }

  /** Runs `work(first)`: the plan's steps from `first` on are to be run. */
  async around<T>(executable: Executable, work: (first: number) => Promise<T>): Promise<T> {
    const first = this.lastRun === executable ? executable.plan.prepareSteps : 0;
    // Whatever fails half-way is not relied on.
    this.lastRun = null;
    const { writes } = this;
    const result = await work(first);
    if (this.writes === writes) this.lastRun = executable;
    return result;
  }

  /** Seconds of every step of the plan, 0 for the first ones, which did not run. */
  static timesOfAll(first: number, seconds: Float64Array): Float64Array {
    const all = new Float64Array(first + seconds.length);
    all.set(seconds, first);
    return all;
  }
}
