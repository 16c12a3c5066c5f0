/** The threads of the WASM backend: one that runs programs, the others its helpers. */
import { Worker } from 'node:worker_threads';
import { PlusxError } from '../../errors.js';
import type { Request, RunReply, ThreadStart } from './protocol.js';

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export class WasmThreads {
  private readonly workers: Worker[];
  /** Runs under way, in the order of their requests: the runner takes them in turn. */
  private readonly waiting: Waiting[] = [];
  private failure: PlusxError | undefined;

  /** `stacks[i]` is the end of thread i's stack. */
  constructor(start: Omit<ThreadStart, 'index' | 'stackTop'>, stacks: readonly number[]) {
    this.workers = stacks.map((stackTop, index) => {
      const workerData: ThreadStart = { ...start, index, stackTop };
      // The process's own flags (`--input-type`, `--test`, a loader) are not meant for threads.
      const options = { workerData, execArgv: [] };
      const worker = new Worker(new URL('./thread.js', import.meta.url), options);
      worker.on('error', (error) =>
        this.fail(`a thread of the WASM engine died: ${error.message}`),
      );
      worker.on('exit', () => this.fail('the WASM engine was stopped'));
      return worker;
    });
    this.runner.on('message', (reply: RunReply) => {
      // What a trap leaves behind in the pool is not to be relied on.
      if (!reply.ok) return this.fail(reply.reason);
      this.waiting.shift()?.resolve();
      if (this.waiting.length === 0) this.runner.unref();
    });
    // Idle threads do not keep the process alive; a run does. Last, as a listener for messages
    // takes hold of the process again.
    for (const worker of this.workers) worker.unref();
  }

  /** Serves one request, after those made before it. */
  run(request: Request): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.runner.ref();
      this.runner.postMessage(request);
    });
  }

  /** Ends all threads; runs under way reject. */
  async stop(): Promise<void> {
    this.fail('the WASM engine was stopped');
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  private get runner(): Worker {
    return this.workers[0]!;
  }

  /** Threads wait for each other: when one is gone, all of them go. */
  private fail(reason: string): void {
    if (this.failure) return;
    this.failure = new PlusxError('engine-stopped', reason);
    for (const { reject } of this.waiting.splice(0)) reject(this.failure);
    for (const worker of this.workers) void worker.terminate();
  }
}
