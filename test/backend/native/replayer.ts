/** Builds native/test/replay.cpp with the engine's sources, and runs it on files of cases. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { engineFlags, kernelSets } from '../../../src/backend/native/build.js';
import { packageRoot } from '../../../src/package-root.js';

const run = promisify(execFile);
const native = path.join(packageRoot().root, 'native');

export interface Target {
  readonly compiler: string;
  /** As `process.arch` names it. */
  readonly arch: string;
  /** What comes after the engine's own flags. */
  readonly flags: readonly string[];
  /** What runs a program for this processor: nothing here, an emulator elsewhere. */
  readonly runner: readonly string[];
}

export interface Ended {
  readonly ok: boolean;
  /** stdout, then stderr. */
  readonly output: string;
}

/** The first race says all; where undefined behaviour was reached is told. */
const sanitizerOptions = { TSAN_OPTIONS: 'halt_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' };

/** Never rejects: a program that is not there has ended without success. */
export async function runProgram(command: readonly string[]): Promise<Ended> {
  const [program, ...args] = command as [string, ...string[]];
  try {
    const { stdout, stderr } = await run(program, args, {
      maxBuffer: 1e9,
      env: { ...process.env, ...sanitizerOptions },
    });
    return { ok: true, output: stdout + stderr };
  } catch (error) {
    const { stdout = '', stderr = '', message, signal } = error as Ran;
    const death = signal ? `${program} was ended by ${signal}` : '';
    return { ok: false, output: stdout + stderr + death || message };
  }
}

interface Ran extends Error {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly signal?: NodeJS.Signals | null;
}

/** Compiles the replayer into `folder`; rejects with what the compiler says. */
export async function buildReplayer(target: Target, folder: string): Promise<string> {
  const compile = async (source: string, name: string, extra: readonly string[] = []) => {
    const output = path.join(folder, `${name}.o`);
    const flags = [...engineFlags, `-I${native}`, ...extra, ...target.flags];
    await succeed([target.compiler, ...flags, '-c', path.join(native, source), '-o', output]);
    return output;
  };
  const objects = await Promise.all([
    ...Object.entries(kernelSets(target.arch)).map(([set, flags]) =>
      compile('kernels/kernels.cpp', set, [`-DPLUSX_ISA=${set}`, ...flags]),
    ),
    compile('executor/pool.cpp', 'pool'),
    compile('executor/executor.cpp', 'executor'),
    compile('test/case-file.cpp', 'case-file'),
    compile('test/replay.cpp', 'replay'),
  ]);
  const program = path.join(folder, 'replay');
  await succeed([target.compiler, ...target.flags, ...objects, '-o', program, '-pthread']);
  return program;
}

async function succeed(command: readonly string[]): Promise<void> {
  const { ok, output } = await runProgram(command);
  if (!ok) throw new Error(`${command.join(' ')}\n${output}`);
}
