/** What the documents say: commands parse, links lead somewhere, the README's examples run. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import ts from 'typescript';
import { openReference } from '../../src/backend/reference/index.js';
import { imagenet } from '../../src/data/transforms.js';
import { drawDemoDataset } from '../../src/demo/draw.js';
import { resnet18 } from '../../src/models/resnet.js';
import { saveWeights } from '../../src/train/checkpoint.js';
import { sgd } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import { expectCommandLine } from './command-lines.js';
import {
  codeBlocks,
  commandLines,
  documents,
  localLinks,
  readDocument,
  root,
} from './documents.js';

const run = promisify(execFile);
const examples = codeBlocks(readDocument('README.md')).filter(({ language }) => language === 'ts');
const fileOf = (index: number) => `example-${index + 1}.ts`;

for (const file of documents) {
  test(`${file}: every command line parses, every program it names is there`, () => {
    for (const line of commandLines(readDocument(file))) expectCommandLine(line);
  });

  test(`${file}: every link leads somewhere`, () => {
    const missing = localLinks(file).filter((target) => !existsSync(path.join(root, target)));
    assert.deepEqual(missing, []);
  });
}

test('a command line that is wrong is found', () => {
  for (const line of [
    'npx plusx tarin photos',
    'npx plusx train photos --epoch 3',
    'npx plusx train photos --epochs three',
    'npx plusx devices now',
    'npx other',
    'npm run nothing',
    'node dist/bench/nothing.js',
  ]) {
    assert.throws(() => expectCommandLine(line), line);
  }
});

test('the README names the two commands, and .ci/run runs what it says', () => {
  const lines = commandLines(readDocument('README.md'));
  assert.ok(lines.includes('npm start'));
  assert.ok(lines.includes('npm test'));
  assert.match(readFileSync(path.join(root, '.ci/run'), 'utf8'), /^npm test\b/m);
});

describe('the README’s examples', () => {
  let project = '';

  before(async () => {
    project = await mkdtemp(path.join(tmpdir(), 'plusx-readme-'));
    await mkdir(path.join(project, 'node_modules'));
    await symlink(root, path.join(project, 'node_modules/plusx'), 'junction');
    await writeFile(path.join(project, 'package.json'), '{ "type": "module" }\n');
    for (const [i, { text }] of examples.entries()) {
      await writeFile(path.join(project, fileOf(i)), text);
    }
    const photos = path.join(project, 'photos');
    const drawn = await drawDemoDataset(photos, { trainPerClass: 8, valPerClass: 2 });
    await copyFile(drawn.example, path.join(project, 'photo.jpg'));
    await writePretrained(path.join(project, 'resnet18.safetensors'));
  });
  after(() => rm(project, { recursive: true, force: true }));

  test('are there', () => {
    assert.ok(examples.filter(({ marks }) => marks.includes('run')).length >= 3);
  });

  test('are strict TypeScript against the public types', () => {
    const program = ts.createProgram({
      rootNames: examples.map((_, i) => path.join(project, fileOf(i))),
      options: {
        strict: true,
        noEmit: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        noImplicitOverride: true,
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.NodeNext,
        skipLibCheck: true,
        types: ['node'],
        typeRoots: [path.join(root, 'node_modules/@types')],
      },
    });
    const found = ts.getPreEmitDiagnostics(program);
    const host = { getCanonicalFileName: String, getCurrentDirectory: () => project };
    assert.equal(ts.formatDiagnostics(found, { ...host, getNewLine: () => '\n' }), '');
  });

  for (const [i, { marks, text }] of examples.entries()) {
    if (!marks.includes('run')) continue;
    test(`example ${i + 1} runs as it stands`, async () => {
      const { outputText } = ts.transpileModule(text, {
        compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
      });
      const file = path.join(project, fileOf(i).replace(/ts$/, 'js'));
      await writeFile(file, outputText);
      await run(process.execPath, [file], { cwd: project });
    });
  }
});

/** ImageNet's ResNet-18 under torchvision's keys, as PyTorch would have saved it; never trained. */
async function writePretrained(file: string): Promise<void> {
  const session = await Session.create(resnet18(), openReference(), {
    batchSize: 1,
    imageSize: 32,
    normalization: imagenet,
    optimizer: sgd({ lr: 0 }),
    seed: 1,
  });
  await saveWeights(file, await session.exportState());
  await session.dispose();
}
