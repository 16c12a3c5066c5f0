/** The threads of the WASM backend: one that runs programs, the others its helpers. */
import { Worker } from 'node:worker_threads';
import { PlusxError } from '../../errors.js';
import type { RunReply, RunRequest, ThreadStart } from './protocol.js';

interface Waiting {
  resolve(): void;
  reject(reason: Error): void;
}

export class WasmThreads {
  private readonly workers: Worker[];
  private waiting: Waiting | undefined;
  private failure: Error | undefined;

  /** `stacks[i]` is the end of thread i's stack. */
  constructor(start: Omit<ThreadStart, 'index' | 'stackTop'>, stacks: readonly number[]) {
    this.workers = stacks.map((stackTop, index) => {
      const workerData: ThreadStart = { ...start, index, stackTop };
      const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData });
      worker.on('error', (error) =>
        this.fail(`a thread of the WASM engine died: ${error.message}`),
      );
      worker.on('exit', () => this.fail('the WASM engine was stopped'));
      // Idle threads do not keep the process alive; a run does, see below.
      worker.unref();
      return worker;
    });
    this.runner.on('message', (reply: RunReply) => {
      const { waiting } = this;
      this.waiting = undefined;
      this.runner.unref();
      if (reply.ok) waiting?.resolve();
      else waiting?.reject(new PlusxError('engine-stopped', reply.reason));
    });
  }

  /** Runs one program; a second one before it ends is a mistake of ours. */
  run(request: RunRequest): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    if (this.waiting) return Promise.reject(new Error('internal: a run is already under way'));
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.runner.ref();
      this.runner.postMessage(request);
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private get runner(): Worker {
    return this.workers[0]!;
  }

  private fail(reason: string): void {
    this.failure ??= new PlusxError('engine-stopped', reason);
    this.waiting?.reject(this.failure);
    this.waiting = undefined;
  }
}
