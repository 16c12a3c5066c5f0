// Builds everything that has changed: TypeScript, the WASM engine, and the native engine where a
// C++ compiler is. Run by scripts/setup.mjs and before packing, or alone: npm run build
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildWasm } from './build-wasm.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

export async function build() {
  compileTypeScript();
  await buildWasm();
  await buildAddon();
}

/** Incremental: a second or two where nothing has changed. */
function compileTypeScript() {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  try {
    execFileSync(process.execPath, [tsc, '-p', root], { stdio: ['ignore', 'pipe', 'inherit'] });
  } catch (error) {
    console.error(String(error.stdout ?? error));
    process.exit(1);
  }
  chmodSync(path.join(root, 'dist/src/cli/main.js'), 0o755);
}

async function buildAddon() {
  const native = path.join(root, 'dist/src/backend/native/index.js');
  const { buildNative } = await import(pathToFileURL(native).href);
  try {
    await buildNative({ log: console.log });
  } catch (error) {
    if (error?.code !== 'native-unavailable') throw error;
    console.log(`plusx runs on WASM: ${error.details.reason}; with a C++ compiler it is faster`);
  }
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await build();
}
