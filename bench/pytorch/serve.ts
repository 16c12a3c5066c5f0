/** The inside of a process of the benchmark that is written in TypeScript; see job.ts. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { jobSchema, requestSchema, type Job, type Ready, type Turn } from './job.js';

export interface Worker {
  readonly ready: Ready;
  /** One training step or one forward pass. */
  step(): Promise<{ readonly loss?: number; readonly logits?: Float32Array }>;
  dispose(): Promise<void>;
}

/** Starts the job given as the first argument and answers requests until stdin ends. */
export async function serve(start: (job: Job) => Promise<Worker>): Promise<void> {
  const requests = createInterface({ input: process.stdin });
  let worker: Worker | undefined;
  try {
    worker = await start(jobSchema.parse(JSON.parse(process.argv[2]!)));
    answer(worker.ready);
    for await (const line of requests) {
      const request = requestSchema.parse(JSON.parse(line));
      answer('memory' in request ? { peakBytes: peakBytes() } : await turn(worker, request.steps));
    }
  } catch (error) {
    answer({ failed: (error as Error).message.split('\n')[0] });
    requests.close();
  } finally {
    await worker?.dispose();
  }
}

async function turn(worker: Worker, steps: number): Promise<Turn> {
  const seconds: number[] = [];
  const losses: number[] = [];
  let last: Float32Array = new Float32Array();
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    const { loss, logits } = await worker.step();
    seconds.push((performance.now() - start) / 1000);
    if (loss !== undefined) losses.push(loss);
    if (logits !== undefined) last = logits;
  }
  return { seconds, losses, logits: [...last] };
}

/**
 * The largest resident size of this process. Where there is a /proc, by VmHWM: `maxRSS` also
 * counts what the parent had before it started this program.
 */
function peakBytes(): number {
  try {
    const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (found) return Number(found[1]) * 1024;
  } catch {
    // No /proc on this system.
  }
  return process.resourceUsage().maxRSS * 1024;
}

function answer(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
