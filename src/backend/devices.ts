/** Which backends this machine has, and which one to take. */
import { closest } from 'fastest-levenshtein';
import { PlusxError } from '../errors.js';
import type { Backend, DeviceName } from './backend.js';
import { buildNative, openNative } from './native/index.js';
import { openReference } from './reference/index.js';
import { openWasm } from './wasm/index.js';

export type DeviceChoice = DeviceName | 'auto';

export const deviceNames: readonly DeviceName[] = ['native', 'wasm', 'reference'];

export interface OpenOptions {
  /** Default `auto`: native where it is or can be built, else WASM. */
  readonly device?: DeviceChoice;
  /** Default: the processors that this process may use. */
  readonly threads?: number;
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
  const { device = 'auto', threads, onNotice = () => {} } = options;
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1)) {
    throw new PlusxError('option', `threads must be a whole number of at least 1, got ${threads}`);
  }
  if (device === 'auto') return openBest(threads, onNotice);
  const open = Object.hasOwn(openers, device) ? openers[device] : undefined;
  if (!open) {
    const known = ['auto', ...deviceNames];
    throw new PlusxError(
      'unknown-device',
      `device "${String(device)}" is not known; did you mean "${closest(String(device), known)}"? ` +
        `Known: ${known.join(', ')}`,
    );
  }
  return open(threads);
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
