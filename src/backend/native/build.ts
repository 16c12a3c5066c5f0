/**
 * Builds the addon with the machine's own C++ compiler, checks it in a process of its own and moves
 * it into the cache folder. Nothing is downloaded; no install script is involved.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { packageRoot } from '../../package-root.js';
import { builtPath, doesNotLoad, loadFile, unavailable } from './addon.js';

const run = promisify(execFile);

export interface BuildOptions {
  /** Builds even where a built addon lies already. Default false. */
  readonly force?: boolean;
  /** Hears one line before the compiler starts and one when the addon is ready. */
  readonly log?: (line: string) => void;
}

export interface BuildResult {
  readonly path: string;
  /** Empty where an addon of these sources was there already. */
  readonly compiler: string;
  readonly instructionSets: string[];
}

const avx512 = ['-mavx512f', '-mavx512dq', '-mavx512vl', '-mavx512bw', '-mavx2', '-mfma'];

/** Every kernel is compiled once per instruction set; the addon chooses when it loads. */
const kernelTargets: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  x64: {
    avx512_bf16: [...avx512, '-mavx512bf16'],
    avx512,
    avx2: ['-mavx2', '-mfma'],
    x86_64_v2: ['-msse4.2', '-mpopcnt'],
  },
  arm64: { neon: [] },
};

/** By name, the flags of each set that kernels.cpp is compiled for on such a processor. */
export function kernelSets(arch: string): Readonly<Record<string, readonly string[]>> {
  return kernelTargets[arch] ?? { generic: [] };
}

export const engineFlags: readonly string[] = [
  '-std=c++20',
  '-O3',
  '-fPIC',
  '-fno-exceptions',
  '-fno-rtti',
  '-fno-math-errno',
];

/**
 * Builds the addon unless one is there that loads; throws `native-unavailable` with the reason.
 */
export async function buildNative(options: BuildOptions = {}): Promise<BuildResult> {
  const target = builtPath();
  let broken = '';
  if (existsSync(target) && !options.force) {
    try {
      return { path: target, compiler: '', instructionSets: loadFile(target).instructionSets() };
    } catch (error) {
      broken = `${doesNotLoad(target, error)}, and to build it again, `;
    }
  }
  const compiler = await findCompiler();
  if (!compiler) {
    throw unavailable(`${broken}no C++ compiler was found (tried $CXX, c++, g++, clang++)`);
  }
  options.log?.(`building the native engine with ${compiler} (once, about half a minute)`);

  const folder = path.dirname(target);
  await mkdir(folder, { recursive: true });
  const scratch = await mkdtemp(path.join(folder, 'build-'));
  try {
    const file = await compileAddon(compiler, scratch);
    const instructionSets = await selfTest(file);
    await flush(file);
    await rename(file, target);
    options.log?.(`native engine ready (${instructionSets.join(', ')})`);
    return { path: target, compiler, instructionSets };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Onto the disk, before it gets its name: loading half an addon would end the process. */
async function flush(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  await handle.sync();
  await handle.close();
}

/** `$CXX` or what the machine calls its C++ compiler. */
export async function findCompiler(): Promise<string | undefined> {
  const { CXX } = process.env;
  for (const candidate of [...(CXX ? [CXX] : []), 'c++', 'g++', 'clang++']) {
    try {
      await run(candidate, ['--version']);
      return candidate;
    } catch {
      continue;
    }
  }
  return undefined;
}

/** Compiles the addon for a kind of processor into the folder `scratch`. */
export async function compileAddon(
  compiler: string,
  scratch: string,
  arch: string = process.arch,
): Promise<string> {
  const native = path.join(packageRoot().root, 'native');
  const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers') as {
    include_dir: string;
  };
  const object = async (source: string, name: string, extra: readonly string[]) => {
    const output = path.join(scratch, `${name}.o`);
    const input = path.join(native, source);
    await compilerRun(compiler, [
      ...engineFlags,
      `-I${native}`,
      ...extra,
      '-c',
      input,
      '-o',
      output,
    ]);
    return output;
  };
  const objects = await Promise.all([
    ...Object.entries(kernelSets(arch)).map(([name, set]) =>
      object('kernels/kernels.cpp', name, [`-DPLUSX_ISA=${name}`, ...set]),
    ),
    object('executor/pool.cpp', 'pool', []),
    object('executor/executor.cpp', 'executor', []),
    object('executor/peaks.cpp', 'peaks', []),
    object('addon/addon.cpp', 'addon', [`-I${headers}`]),
  ]);
  const output = path.join(scratch, 'plusx.node');
  const shared =
    process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'];
  await compilerRun(compiler, [...shared, ...objects, '-o', output, '-pthread']);
  return output;
}

async function compilerRun(compiler: string, args: readonly string[]): Promise<void> {
  try {
    await run(compiler, [...args]);
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    const line = stderr.split('\n').find((text) => text.includes('error')) ?? String(error);
    throw unavailable(`${compiler} failed: ${line.trim()}`);
  }
}

/** Runs a plan with every instruction set in a process of its own: a crash there harms nobody. */
async function selfTest(file: string): Promise<string[]> {
  const script = fileURLToPath(new URL('./self-test.js', import.meta.url));
  try {
    const { stdout } = await run(process.execPath, [script, file], { timeout: 60_000 });
    return JSON.parse(stdout) as string[];
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw unavailable(`the built addon failed its check: ${stderr.trim() || String(error)}`);
  }
}
