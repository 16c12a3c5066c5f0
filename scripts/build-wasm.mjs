// Compiles native/ to WebAssembly with clang, itself an npm package compiled to WebAssembly: no
// toolchain is needed. Writes dist/wasm/plusx.wasm and plusx-relaxed.wasm; does nothing where the
// sources have not changed. Run by scripts/build.mjs, or alone: node scripts/build-wasm.mjs
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const output = path.join(root, 'dist/wasm');

const flags = [
  '-std=c++20',
  '-Inative',
  '-O3',
  '-nostdlib',
  '-fno-exceptions',
  '-fno-rtti',
  '-fno-math-errno',
  '-matomics',
  '-mbulk-memory',
  '-msimd128',
  '-Wl,--no-entry,--import-memory,--shared-memory,--max-memory=4294967296',
  '-Wl,--export=__stack_pointer,--export=__heap_base',
];

const variants = {
  'plusx.wasm': ['-DPLUSX_ISA=wasm128'],
  'plusx-relaxed.wasm': ['-DPLUSX_ISA=wasm128_relaxed', '-mrelaxed-simd', '-ffp-contract=fast'],
};

export async function buildWasm({ log = console.log } = {}) {
  const { test: _, ...sources } = readSources(path.join(root, 'native'));
  const hash = createHash('sha256').update(JSON.stringify([sources, flags, variants]));
  const key = hash.digest('hex');
  const keyFile = path.join(output, 'sources.sha256');
  if (existsSync(keyFile) && readFileSync(keyFile, 'utf8') === key) return;

  log('building the WASM engine (clang as an npm package, about a minute)');
  const { runClang, runLLVM } = await import('@yowasp/clang');
  // Loads the compiler, without its own report on that.
  await runLLVM(null, {}, { fetchProgress: () => {} });
  mkdirSync(output, { recursive: true });
  for (const [name, extra] of Object.entries(variants)) {
    let messages = '';
    const command = ['clang++', ...flags, ...extra, 'native/wasm/module.cpp', '-o', name];
    const print = (bytes) => {
      if (bytes) messages += Buffer.from(bytes).toString();
    };
    const built = await runClang(
      command,
      { native: sources },
      {
        stdout: print,
        stderr: print,
      },
    ).catch((error) => {
      throw new Error(`building ${name} failed: ${error.message}\n${messages}`);
    });
    const temporary = path.join(output, `${name}.new`);
    writeFileSync(temporary, built[name]);
    renameSync(temporary, path.join(output, name));
  }
  writeFileSync(keyFile, key);
}

/** The C++ files below a folder, as the nested tree that runClang takes. */
function readSources(folder) {
  const tree = {};
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) tree[entry.name] = readSources(file);
    else if (/\.(cpp|h)$/.test(entry.name)) tree[entry.name] = readFileSync(file, 'utf8');
  }
  return tree;
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await buildWasm();
}
