/** The packed package, installed into an empty project without install scripts: it trains there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { buildNative } from '../../src/backend/native/index.js';
import { packageRoot } from '../../src/package-root.js';
import { drawImages } from '../train/drawn-images.js';

const run = promisify(execFile);
const { root, version } = packageRoot();
const recipe = '--stem conv3x3 --image-size 16 --batch-size 4 --epochs 1 --seed 0'.split(' ');
const noCompiler = await buildNative().then(
  () => false as const,
  () => 'no C++ compiler here',
);

let project = '';
let packed: string[] = [];

before(async () => {
  project = await mkdtemp(path.join(tmpdir(), 'plusx-package-'));
  // What prepack would build is built: these tests are run from it.
  const { stdout } = await npm(root, [
    'pack',
    '--json',
    '--ignore-scripts',
    '--pack-destination',
    project,
  ]);
  const [report] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[];
  packed = report!.files.map((file) => file.path);
  await writeFile(path.join(project, 'package.json'), '{ "name": "empty", "type": "module" }\n');
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  await npm(project, ['install', `./${report!.filename}`, ...flags]);
  await drawImages(path.join(project, 'data'), { train: [4, 4], val: [2, 2] });
});
after(() => rm(project, { recursive: true, force: true }));

function npm(cwd: string, args: readonly string[]) {
  const script = process.env['npm_execpath'];
  const [command, first] = script ? [process.execPath, [script]] : ['npm', []];
  return run(command, [...first, ...args], { cwd, maxBuffer: 1e8 });
}

/** The installed command line, with a cache folder of its own. */
function plusx(args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const env = { ...process.env, PLUSX_CACHE: path.join(project, 'cache'), ...environment };
  const main = path.join(project, 'node_modules/plusx/dist/src/cli/main.js');
  return run(process.execPath, [main, ...args], { cwd: project, env });
}

test('the package holds the library, both WASM modules and the C++ sources, and nothing else', () => {
  for (const file of [
    'package.json',
    'dist/src/index.js',
    'dist/src/index.d.ts',
    'dist/src/cli/main.js',
    'dist/wasm/plusx.wasm',
    'dist/wasm/plusx-relaxed.wasm',
    'native/kernels/kernels.cpp',
    'native/addon/addon.cpp',
  ]) {
    assert.ok(packed.includes(file), `${file} is missing`);
  }
  const known =
    /^(dist\/(src|wasm)\/|native\/(?!test\/)|package\.json$|README\.md$|LICENSE$|CHANGELOG\.md$)/;
  assert.deepEqual(
    packed.filter((file) => !known.test(file) || /\.test\.|\.(jpe?g|png|webp|node|o)$/.test(file)),
    [],
  );
});

test('it has no install script', () => {
  const file = path.join(project, 'node_modules/plusx/package.json');
  const { name, scripts } = JSON.parse(readFileSync(file, 'utf8')) as {
    name: string;
    scripts: Readonly<Record<string, string>>;
  };
  assert.equal(name, 'plusx');
  const run = Object.keys(scripts).filter((script) =>
    /^(pre|post)?install$|^prepare$/.test(script),
  );
  assert.deepEqual(run, []);
});

test('without a compiler it trains on WASM at once and says so in one line', async () => {
  const bin = path.join(project, 'bin');
  await mkdir(bin);
  await symlink(process.execPath, path.join(bin, 'node'));
  const { stdout, stderr } = await plusx(
    ['train', 'data', ...recipe, '--out', 'wasm-run', '--json'],
    { PATH: bin, CXX: '', PLUSX_CACHE: path.join(project, 'no-cache') },
  );
  const start = JSON.parse(stdout.split('\n').find((line) => line.includes('"start"'))!) as object;
  assert.equal((start as { device: string }).device, 'wasm', stderr);
  assert.equal(stderr.split('\n').filter((line) => /compiler/.test(line)).length, 1, stderr);
  assert.ok(existsSync(path.join(project, 'wasm-run/best.safetensors')));
});

test(
  'build-native builds the addon into the cache, and training uses it',
  { skip: noCompiler },
  async () => {
    await plusx(['build-native']);
    assert.ok(existsSync(path.join(project, 'cache')));
    const { stdout } = await plusx(['train', 'data', ...recipe, '--out', 'native-run', '--json']);
    assert.match(stdout, /"device":"native"/);
  },
);

test('its types serve a strict TypeScript program', async () => {
  const program = [
    "import { PlusxError, resnet18, train } from 'plusx';",
    "import type { Backend, StateDict, TrainOptions } from 'plusx';",
    "const options: TrainOptions = { folder: 'data', epochs: 1, stem: 'conv3x3' };",
    'export const run = () => train(options);',
    "export const model = resnet18({ classes: 2, stem: 'conv3x3' });",
    'export const isOurs = (error: unknown): error is PlusxError => error instanceof PlusxError;',
    'export type Held = { readonly backend: Backend; readonly state: StateDict };',
    '// @ts-expect-error: no option has this name',
    "export const wrong: TrainOptions = { folder: 'data', epoch: 1 };",
  ];
  await writeFile(path.join(project, 'program.ts'), program.join('\n'));
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const flags = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext'];
  const { stdout } = await run(
    process.execPath,
    [
      tsc,
      ...flags,
      '--types',
      'node',
      '--typeRoots',
      path.join(root, 'node_modules/@types'),
      'program.ts',
    ],
    { cwd: project },
  ).catch((error: { stdout: string }) => error);
  assert.equal(stdout, '');
});

test('the version is that of this repository', async () => {
  assert.equal((await plusx(['--version'])).stdout.trim(), version);
});
