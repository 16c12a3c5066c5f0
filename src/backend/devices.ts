/** Which backends this machine has, and which one to take. */
import { closest } from 'fastest-levenshtein';
import { PlusxError } from '../errors.js';
import type { Backend, DeviceName } from './backend.js';
import { buildNative, openNative } from './native/index.js';
import { openReference } from './reference/index.js';
import { openWasm } from './wasm/index.js';

export type DeviceChoice = DeviceName | 'auto';

export const deviceNames: readonly DeviceName[] = ['native', 'wasm', 'reference'];

/** What the native engine's kernels are compiled for; a processor has some of them. */
export const instructionSets = [
  'avx512-bf16',
  'avx512',
  'avx2',
  'x86-64-v2',
  'neon',
  'generic',
] as const;

export type InstructionSet = (typeof instructionSets)[number];

export interface OpenOptions {
  /** Default `auto`: native where it is or can be built, else WASM. */
  readonly device?: DeviceChoice;
  /** Default: the processors that this process may use. */
  readonly threads?: number;
  /** Of the native engine, which is then the only one taken. Default: the best one there is. */
  readonly instructionSet?: InstructionSet;
  /** Hears in one line why `auto` did not take the fastest engine, or that it is being built. */
  readonly onNotice?: (line: string) => void;
}

export interface DeviceReport {
  readonly name: DeviceName;
  readonly available: boolean;
  readonly description: string;
  readonly instructionSet?: string;
  readonly threads?: number;
  /** Why it is not available, and what to do. */
  readonly reason?: string;
}

/** Opens a backend; throws where the asked one is not there. */
export async function openBackend(options: OpenOptions = {}): Promise<Backend> {
  const { device = 'auto', threads, instructionSet, onNotice = () => {} } = options;
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) {
    throw new PlusxError('option', `threads must be a whole number of at least 1, got ${threads}`);
  }
  if (instructionSet !== undefined) {
    expectKnown('instructionSet', instructionSet, instructionSets, 'unknown-instruction-set');
    return openInstructionSet(device, instructionSet, threads, onNotice);
  }
  if (device === 'auto') return openBest(threads, onNotice);
  expectKnown('device', device, ['auto', ...deviceNames], 'unknown-device');
  return openers[device](threads);
}

function expectKnown(what: string, name: string, known: readonly string[], code: string): void {
  if (known.includes(name)) return;
  throw new PlusxError(
    code,
    `${what} "${name}" is not known; did you mean "${closest(name, [...known])}"? ` +
      `Known: ${known.join(', ')}`,
  );
}

/** The native engine by `auto` too: another one would be no answer to the question. */
async function openInstructionSet(
  device: DeviceChoice,
  instructionSet: InstructionSet,
  threads: number | undefined,
  onNotice: (line: string) => void,
): Promise<Backend> {
  if (device !== 'auto' && device !== 'native') {
    throw new PlusxError(
      'option',
      `instructionSet is "${instructionSet}", which the device "${device}" does not have; ` +
        'take the device "native", or leave the instruction set out',
    );
  }
  if (device === 'auto') await buildNative({ log: onNotice });
  return openNative({ instructionSet, ...withThreads(threads) });
}

/** Tries every backend and says what it found. */
export async function listDevices(): Promise<DeviceReport[]> {
  const reports: DeviceReport[] = [];
  for (const name of deviceNames) {
    try {
      const backend = await openers[name]();
      const { description, instructionSet, threads } = backend;
      reports.push({ name, available: true, description, instructionSet, threads });
      await backend.dispose();
    } catch (error) {
      if (!(error instanceof PlusxError)) throw error;
      reports.push({ name, available: false, description: name, reason: error.message });
    }
  }
  return reports;
}

const openers: Readonly<Record<DeviceName, (threads?: number) => Promise<Backend>>> = {
  native: (threads) => openNative(withThreads(threads)),
  wasm: (threads) => openWasm(withThreads(threads)),
  reference: () => Promise.resolve(openReference()),
};

function withThreads(threads: number | undefined): { threads?: number } {
  return threads === undefined ? {} : { threads };
}

async function openBest(
  threads: number | undefined,
  onNotice: (line: string) => void,
): Promise<Backend> {
  try {
    return await openers.native(threads);
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
  try {
    await buildNative({ log: onNotice });
    return await openers.native(threads);
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    onNotice(
      `running on WASM: ${error.message}; ` +
        'with a C++ compiler installed, "npx plusx build-native" makes it faster',
    );
  }
  return openers.wasm(threads);
}

function isUnavailable(error: unknown): error is PlusxError {
  return error instanceof PlusxError && error.code === 'native-unavailable';
}
