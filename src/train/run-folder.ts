/**
 * The folder of one run: config.json, metrics.jsonl, last.safetensors, best.safetensors and
 * summary.json. Knows files and their order, nothing of training.
 */
import { existsSync } from 'node:fs';
import { appendFile, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PlusxError } from '../errors.js';
import {
  explainWriteFailure,
  removeStaleFiles,
  writeFileAtomically,
} from '../formats/atomic-file.js';

/** A line of metrics.jsonl: every `logEvery` steps, and after each epoch's validation. */
export type MetricsLine = { readonly kind: 'step' | 'epoch'; readonly epoch: number } & Readonly<
  Record<string, unknown> & { globalStep: number }
>;

export class RunFolder {
  readonly last: string;
  readonly best: string;
  readonly config: string;
  readonly metrics: string;
  readonly summary: string;

  constructor(readonly path: string) {
    this.last = join(path, 'last.safetensors');
    this.best = join(path, 'best.safetensors');
    this.config = join(path, 'config.json');
    this.metrics = join(path, 'metrics.jsonl');
    this.summary = join(path, 'summary.json');
  }

  /** `runs/2026-03-01T12-30-05` in local time. */
  static defaultPath(now = new Date()): string {
    const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
    return join('runs', local.toISOString().slice(0, 19).replaceAll(':', '-'));
  }

  /** Whether a run was begun here. */
  hasRun(): boolean {
    return existsSync(this.config) || existsSync(this.last) || existsSync(this.metrics);
  }

  expectNew(): void {
    if (!this.hasRun()) return;
    throw new PlusxError(
      'run-exists',
      `${this.path} holds a run already; go on with it by --resume ${this.path}, or choose ` +
        'another folder with --out',
      { run: this.path },
    );
  }

  /** Makes the folder and removes what a killed process left half written in it. */
  async create(): Promise<void> {
    try {
      await mkdir(this.path, { recursive: true });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      throw new PlusxError(
        'not-writable',
        `${this.path}: the run folder cannot be made (${code}); choose another with --out`,
        { run: this.path },
      );
    }
    await removeStaleFiles(this.path);
  }

  async writeJson(file: string, value: unknown): Promise<void> {
    await writeFileAtomically(file, [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)]);
  }

  async appendMetrics(line: MetricsLine): Promise<void> {
    const text = `${JSON.stringify(line)}\n`;
    try {
      await appendFile(this.metrics, text);
    } catch (error) {
      throw await explainWriteFailure(error, this.metrics, text.length);
    }
  }

  /** Makes the lines so far durable: they must not be younger than the checkpoint after them. */
  async syncMetrics(): Promise<void> {
    const handle = await open(this.metrics, 'a');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** Drops the lines that a run wrote after its checkpoint, and one that is half written. */
  async keepMetrics(keep: (line: MetricsLine) => boolean): Promise<void> {
    const text = existsSync(this.metrics) ? await readFile(this.metrics, 'utf8') : '';
    const kept = text.split('\n').filter((line) => {
      const parsed = parseLine(line);
      return parsed !== undefined && keep(parsed);
    });
    await writeFileAtomically(this.metrics, [
      Buffer.from(kept.map((line) => `${line}\n`).join('')),
    ]);
  }
}

function parseLine(line: string): MetricsLine | undefined {
  try {
    return JSON.parse(line) as MetricsLine;
  } catch {
    return undefined;
  }
}
