/** Starts the command line in a process of its own, as a person does. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { packageRoot } from '../../src/package-root.js';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of stdout, each read as JSON. */
  readonly records: () => Record<string, unknown>[];
}

export interface CliOptions {
  readonly cwd?: string;
  /** Beside what this process has. */
  readonly env?: NodeJS.ProcessEnv;
  /** Told as soon as something is written to stderr. */
  readonly onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

const main = path.join(packageRoot().root, 'dist/src/cli/main.js');

export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes.toString();
      options.onStderr?.(stderr, (signal) => child.kill(signal));
    });
    child.on('error', reject);
    child.on('close', (code) => {
      const lines = () => stdout.split('\n').filter((line) => line !== '');
      const records = () => lines().map((line) => JSON.parse(line) as Record<string, unknown>);
      resolve({ code, stdout, stderr, records });
    });
  });
}
