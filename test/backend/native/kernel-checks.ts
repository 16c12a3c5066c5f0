/**
 * What is checked of the C++ engine without Node, by scripts/test-kernels.mjs: recorded cases under
 * sanitizers, as two compilers build them and on an emulated arm64, and in the assembly the registers
 * of its inner loops, masked loads and prefetches.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  compileAddon,
  engineFlags,
  findCompiler,
  kernelSets,
} from '../../../src/backend/native/build.js';
import { packageRoot } from '../../../src/package-root.js';
import { encodeCases } from './case-file.js';
import { fetchingFunctions, maskedLoads, prefetches, streamingKernels } from './loads.js';
import { recordCases } from './record-cases.js';
import { buildReplayer, runProgram, type Target } from './replayer.js';
import { hottestLoop, registerTiles } from './spills.js';

/** `missing`: a tool is not there, and `report` says what brings it. */
export interface Outcome {
  readonly verdict: 'passed' | 'failed' | 'missing';
  readonly report: string;
}

/** A check at work: a folder of its own, and the recorded cases. */
interface Workplace {
  readonly folder: string;
  readonly cases: string;
}

type Check = (place: Workplace) => Promise<Outcome>;

/**
 * At -O3 instrumented kernels take minutes to compile, and -O1 checks the same accesses. Of debug
 * information the lines are enough, in three quarters of the time.
 */
export const addressFlags = [
  ...['-O1', '-g1'],
  ...['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
];
const threadFlags = ['-g', '-fsanitize=thread'];

export const kernelChecks: Readonly<Record<string, Check>> = {
  asan: async (place) => replayHere(place, await findCompiler(), addressFlags, '1,2,3'),
  clang: (place) => replayHere(place, 'clang++', addressFlags, '1,2,3'),
  tsan: async (place) => replayHere(place, await findCompiler(), threadFlags, '3'),
  arm64: replayOnArm64,
  spills: readAssembly,
};

/** Runs one check; cleans up behind it. */
export async function checkKernels(name: string): Promise<Outcome> {
  const folder = await mkdtemp(path.join(tmpdir(), 'plusx-kernels-'));
  try {
    const cases = path.join(folder, 'cases');
    await writeFile(cases, encodeCases(await recordCases()));
    return await kernelChecks[name]!({ folder, cases });
  } catch (error) {
    return { verdict: 'failed', report: (error as Error).message };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Why a program cannot be built with these flags here; undefined where it can. */
export async function whyNotBuilt(
  compiler: string | undefined,
  flags: readonly string[],
): Promise<string | undefined> {
  if (!compiler || !(await runProgram([compiler, '--version'])).ok) {
    return `there is no ${compiler ?? 'C++ compiler'}; Debian has g++ and clang`;
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'plusx-probe-'));
  try {
    const [source, program] = [path.join(folder, 'probe.cpp'), path.join(folder, 'probe')];
    await writeFile(source, 'int main() { return 0; }\n');
    const built = await runProgram([compiler, ...flags, source, '-o', program]);
    if (built.ok && (await runProgram([program])).ok) return undefined;
    return (
      `${compiler} builds nothing that runs with ${flags.join(' ')}; ` +
      'Debian has the runtime in libgcc-12-dev for g++, in libclang-rt-dev for clang++'
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function replayHere(
  place: Workplace,
  compiler: string | undefined,
  flags: readonly string[],
  threads: string,
): Promise<Outcome> {
  const reason = await whyNotBuilt(compiler, flags);
  if (reason) return { verdict: 'missing', report: reason };
  return replay(place, { compiler: compiler!, arch: process.arch, flags, runner: [] }, threads);
}

async function replay(place: Workplace, target: Target, threads: string): Promise<Outcome> {
  const program = await buildReplayer(target, place.folder);
  const command = [...target.runner, program, '--threads', threads, place.cases];
  const { ok, output } = await runProgram(command);
  return { verdict: ok ? 'passed' : 'failed', report: output.trimEnd() };
}

/** Here as it is on an arm64 machine, elsewhere cross-compiled and emulated. */
async function replayOnArm64(place: Workplace): Promise<Outcome> {
  const here = process.arch === 'arm64';
  const compiler = here ? await findCompiler() : 'aarch64-linux-gnu-g++';
  if (!compiler || !(await runProgram([compiler, '--version'])).ok) {
    const name = here ? 'g++' : 'g++-aarch64-linux-gnu';
    return { verdict: 'missing', report: `there is no compiler for arm64; Debian has ${name}` };
  }
  const emulator = here ? [] : await findEmulator();
  if (!emulator) {
    const report = 'there is no qemu-aarch64; Debian has it in qemu-user and qemu-user-static';
    return { verdict: 'missing', report };
  }
  const flags = here ? [] : ['-static'];
  await compileAddon(compiler, place.folder, 'arm64');
  return replay(place, { compiler, arch: 'arm64', flags, runner: emulator }, '1,2,3');
}

async function findEmulator(): Promise<string[] | undefined> {
  for (const name of ['qemu-aarch64', 'qemu-aarch64-static']) {
    if ((await runProgram([name, '--version'])).ok) return [name];
  }
  return undefined;
}

/** Without FMA a product takes a register of its own, and of 16 there is none to spare. */
const mayBeShort: readonly string[] = ['x86_64_v2'];

async function readAssembly({ folder }: Workplace): Promise<Outcome> {
  const compiler = await findCompiler();
  const reason = await whyNotBuilt(compiler, []);
  if (reason) return { verdict: 'missing', report: reason };
  const native = path.join(packageRoot().root, 'native');
  const lines: string[] = [];
  let clean = true;
  for (const [set, flags] of Object.entries(kernelSets(process.arch))) {
    if (mayBeShort.includes(set)) continue;
    const output = path.join(folder, `${set}.s`);
    const source = path.join(native, 'kernels/kernels.cpp');
    const all = [...engineFlags, `-I${native}`, `-DPLUSX_ISA=${set}`, ...flags];
    const built = await runProgram([compiler!, ...all, '-S', source, '-o', output]);
    if (!built.ok) return { verdict: 'failed', report: built.output };
    const assembly = await readFile(output, 'utf8');
    for (const names of registerTiles) {
      const loop = hottestLoop(assembly, names);
      const found = loop
        ? `${loop.multiplyAdds} multiply-adds, ${loop.spills.length} spills`
        : 'no loop of multiply-adds: was it renamed?';
      clean &&= loop?.spills.length === 0;
      lines.push(
        `${set}, ${names[0]}: ${found}`,
        ...(loop?.spills ?? []).map((line) => `  ${line}`),
      );
    }
    if (process.arch !== 'x64') continue;
    for (const name of streamingKernels) {
      const loads = maskedLoads(assembly, name);
      clean &&= loads?.length === 0;
      lines.push(
        `${set}, ${name}: ${loads ? `${loads.length} masked loads` : 'not there: was it renamed?'}`,
        ...(loads ?? []).map((line) => `  ${line}`),
      );
    }
    for (const [name, places] of fetchingFunctions) {
      const count = prefetches(assembly, name);
      clean &&= count >= places;
      lines.push(`${set}, ${name}: ${count} prefetches of ${places} at least`);
    }
  }
  return { verdict: clean ? 'passed' : 'failed', report: lines.join('\n') };
}
