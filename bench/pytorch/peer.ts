/** A process of the benchmark as seen from outside: asked for steps, it answers; see job.ts. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { z } from 'zod';
import {
  failureSchema,
  memorySchema,
  readySchema,
  turnSchema,
  type Job,
  type Ready,
  type Request,
  type Turn,
} from './job.js';

/** What a side could not do, in one line of its own. */
export class PeerFailure extends Error {}

export class Peer {
  private readonly lines: AsyncIterator<string>;
  /** The end of what it wrote on stderr: the reason, where it ends without a word on stdout. */
  private errors = '';

  private constructor(private readonly child: ChildProcessWithoutNullStreams) {
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (text: Buffer) => {
      this.errors = (this.errors + text.toString()).slice(-4000);
    });
    // Its end is noticed by reading: writing to it may fail a moment earlier.
    child.stdin.on('error', () => {});
    child.on('error', (error) => {
      this.errors += error.message;
    });
  }

  /** Starts a program with the job as its last argument; throws PeerFailure with its reason. */
  static async start(
    [program, ...args]: readonly [string, ...string[]],
    job: Job,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<{ peer: Peer; ready: Ready }> {
    const env = { ...process.env, ...environment };
    const peer = new Peer(spawn(program, [...args, JSON.stringify(job)], { env }));
    try {
      return { peer, ready: await peer.answer(readySchema) };
    } catch (error) {
      await peer.end();
      throw error;
    }
  }

  async steps(count: number): Promise<Turn> {
    this.ask({ steps: count });
    return this.answer(turnSchema);
  }

  /** The largest resident size of the process so far. */
  async peakBytes(): Promise<number> {
    this.ask({ memory: true });
    return (await this.answer(memorySchema)).peakBytes;
  }

  async end(): Promise<void> {
    const { child } = this;
    const gone = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
    if (gone) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(timer);
  }

  private ask(request: Request): void {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  private async answer<T>(schema: z.ZodType<T>): Promise<T> {
    const { value, done } = (await this.lines.next()) as IteratorResult<string, undefined>;
    if (done) throw new PeerFailure(`it ended: ${lastLine(this.errors)}`);
    const answer: unknown = JSON.parse(value);
    const failure = failureSchema.safeParse(answer);
    if (failure.success) throw new PeerFailure(failure.data.failed);
    return schema.parse(answer);
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) || 'without a word';
}
