/** The addon's functions as TypeScript sees them, and the places where it may lie. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { PlusxError } from '../../errors.js';
import { packageRoot } from '../../package-root.js';
import type { TensorData } from '../backend.js';

/** Objects that only the addon can open. */
export type NativePool = object;
export type NativeArena = object;

export interface Addon {
  /** What this processor has, best first. */
  instructionSets(): string[];
  createPool(threads: number, instructionSet: string): NativePool;
  createArena(bytes: number): NativeArena;
  growArena(arena: NativeArena, bytes: number): void;
  freeArena(arena: NativeArena): void;
  write(arena: NativeArena, offset: number, data: TensorData): void;
  read(arena: NativeArena, offset: number, data: TensorData): void;
  run(pool: NativePool, arena: NativeArena, program: Int32Array): Promise<unknown>;
  /** The seconds of each step. */
  profile(pool: NativePool, arena: NativeArena, program: Int32Array): Promise<Float64Array>;
  /** Operations and bytes a second, measured with the arena as memory. */
  measurePeaks(pool: NativePool, arena: NativeArena): Promise<Float64Array>;
}

const require = createRequire(import.meta.url);

/** Loads a prebuilt addon of this platform's package, else the one that was built here. */
export function loadAddon(): Addon {
  const prebuilt = prebuiltPath();
  const file = prebuilt ?? builtPath();
  if (!prebuilt && !existsSync(file)) throw unavailable('it has not been built yet');
  try {
    return loadFile(file);
  } catch (error) {
    throw unavailable(doesNotLoad(file, error));
  }
}

export function loadFile(file: string): Addon {
  const addon = require(file) as Partial<Addon>;
  if (typeof addon.run !== 'function' || typeof addon.instructionSets !== 'function') {
    throw new Error('it is not the plusx addon');
  }
  return addon as Addon;
}

export function doesNotLoad(file: string, error: unknown): string {
  return `${file} does not load (${(error as Error).message.split('\n')[0]})`;
}

export function unavailable(reason: string): PlusxError {
  return new PlusxError(
    'native-unavailable',
    `the native engine is not available: ${reason}; build it with "npx plusx build-native"`,
    { reason },
  );
}

/** A per-platform package, as published beside plusx: `@plusx/native-linux-x64`. */
function prebuiltPath(): string | undefined {
  try {
    return require.resolve(`@plusx/native-${process.platform}-${process.arch}/plusx.node`);
  } catch {
    return undefined;
  }
}

/**
 * Where the addon built on this machine lies: the cache folder, under a name that changes with the
 * version, the C++ sources and the platform, so that a stale addon is never loaded.
 */
export function builtPath(): string {
  const { version } = packageRoot();
  const key = `${version}-${sourceHash()}-${process.platform}-${process.arch}`;
  return path.join(cacheFolder(), 'native', key, 'plusx.node');
}

/** Where plusx keeps what it has built: `PLUSX_CACHE`, else the user's cache folder. */
export function cacheFolder(): string {
  const { PLUSX_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (PLUSX_CACHE) return path.resolve(PLUSX_CACHE);
  if (process.platform === 'win32' && LOCALAPPDATA) return path.join(LOCALAPPDATA, 'plusx');
  return path.join(XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'plusx');
}

function sourceHash(): string {
  const folder = path.join(packageRoot().root, 'native');
  const hash = createHash('sha256');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(cpp|h)$/.test(file) && !file.startsWith(`test${path.sep}`))
    .sort();
  for (const file of files) hash.update(file).update(readFileSync(path.join(folder, file)));
  return hash.digest('hex').slice(0, 16);
}
