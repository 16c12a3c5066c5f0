/** The article's script: its network, and the script as a person runs it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Model, ResidualBlock } from '../../examples/dogs-vs-cats.js';
import { readSafetensors } from '../../src/formats/safetensors-file.js';
import {
  addBatch,
  DataLoader,
  imagenet,
  ImageFolder,
  loadWeights,
  noImages,
  openBackend,
  resnet18,
  Session,
  sgd,
  standardPreprocessing,
  top1,
  type Module,
} from '../../src/index.js';
import { packageRoot } from '../../src/package-root.js';
import { drawImages } from '../train/drawn-images.js';

const script = path.join(packageRoot().root, 'dist/examples/dogs-vs-cats.js');
const imageSize = 16;
let folder: string;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'plusx-example-'));
  // 32 images in batches of twelve: the last batch holds eight.
  await drawImages(path.join(folder, 'drawn'), { train: [16, 16], val: [3, 4] });
});
after(() => rm(folder, { recursive: true, force: true }));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runScript(...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

describe('the network', () => {
  const described = (model: Module) =>
    Array.from(model.namedParameters(), ([key, { shape, init, buffer }]) => {
      return { key, shape, init, buffer };
    });

  test('it has 11,169,858 parameters with two classes', () => {
    assert.equal(new Model().parameterCount(), 11_169_858);
    assert.equal(new Model(3).parameterCount(), 11_169_858 + 513);
  });

  test('its state dict is that of resnet18 with the 3×3 stem: keys, order, shapes, start', () => {
    const ours = described(new Model(2));
    assert.deepEqual(ours, described(resnet18({ stem: 'conv3x3', classes: 2 })));
    assert.equal(ours.length, 20 * 5 + 2);
  });

  test('a block projects its skip where the stride or the channels change, and only there', () => {
    assert.equal(ResidualBlock.expansion, 1);
    assert.equal(new ResidualBlock(64, 64).downsample, undefined);
    for (const block of [new ResidualBlock(64, 64, 2), new ResidualBlock(64, 128)]) {
      const skip = [...block.namedParameters()].filter(([key]) => key.startsWith('downsample'));
      assert.deepEqual(skip.map(([key, { shape }]) => [key, shape.length]).slice(0, 2), [
        ['downsample.0.weight', 4],
        ['downsample.1.weight', 1],
      ]);
      assert.deepEqual(skip[0]![1].shape.slice(1, 3), [1, 1]);
    }
  });

  test('it trains bit for bit as resnet18 with the 3×3 stem', async () => {
    const backend = await openBackend();
    const batch = {
      images: Uint8Array.from({ length: 2 * imageSize ** 2 * 3 }, (_, i) => (i * 37) % 251),
      labels: Int32Array.of(0, 1),
    };
    const options = {
      imageSize,
      normalization: imagenet,
      batchSize: 2,
      optimizer: sgd({ lr: 0.01 }),
    };
    const trained = async (model: Module) => {
      const session = await Session.create(model, backend, options);
      const losses = [(await session.step(batch)).loss, (await session.step(batch)).loss];
      const logits = await session.logits(batch.images);
      await session.dispose();
      return { losses, logits };
    };
    assert.deepEqual(
      await trained(new Model(2)),
      await trained(resnet18({ stem: 'conv3x3', classes: 2 })),
    );
    await backend.dispose();
  });
});

describe('the script', () => {
  const small = ['drawn', '--test', 'val', '--image-size', `${imageSize}`, '--batch-size', '12'];

  test('trains, saves as it goes and at the end, and tests what it has saved', async () => {
    const { code, stdout, stderr } = await runScript(
      ...small,
      ...['--epochs', '2', '--max-steps', '5', '--checkpoint-every', '2', '--out', 'saved'],
    );
    assert.equal(code, 0, stderr);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, 4, stdout);
    assert.match(lines[0]!, /^11169858 parameters, on (native|wasm) \(.+\)$/);
    assert.match(lines[1]!, /^epoch 1\/2: loss \d\.\d{4}, accuracy \d+\.\d\d %$/);
    assert.match(lines[2]!, /^epoch 2\/2: loss \d\.\d{4}, accuracy \d+\.\d\d %$/);
    const testLine = /^test: loss \d\.\d{4}, accuracy (\d+\.\d\d) %, 7 images$/.exec(lines[3]!);
    assert.ok(testLine, lines[3]);

    // The bar: three batches in epoch 1, two of three in epoch 2.
    assert.match(stderr, /epoch 1\/2 =+ 3\/3 {2}loss \d\.\d{4}, accuracy \d+\.\d\d %/);
    assert.match(stderr, /epoch 2\/2 =+-+ 2\/3 {2}loss \d\.\d{4}, accuracy \d+\.\d\d %/);

    const saved = path.join(folder, 'saved');
    assert.deepEqual((await readdir(saved)).sort(), [
      'checkpoint.safetensors',
      'model.safetensors',
    ]);
    const stepsOf = async (name: string) =>
      (await readSafetensors(path.join(saved, name))).metadata.steps;
    assert.equal(await stepsOf('checkpoint.safetensors'), '4');
    assert.equal(await stepsOf('model.safetensors'), '5');

    const correct = await testAccuracy(path.join(saved, 'model.safetensors'));
    assert.equal(testLine[1], (100 * correct).toFixed(2));
    await testAccuracy(path.join(saved, 'checkpoint.safetensors'));
  });

  test('learns to tell discs from squares', async () => {
    const { code, stdout, stderr } = await runScript(
      ...small,
      ...['--batch-size', '16', '--epochs', '4'],
    );
    assert.equal(code, 0, stderr);
    const epochs = [...stdout.matchAll(/epoch.*: loss (\d\.\d{4}), accuracy (\d+\.\d\d) %/g)];
    assert.equal(epochs.length, 4);
    const [losses, accuracies] = [1, 2].map((part) => epochs.map((found) => Number(found[part])));
    assert.ok(losses![3]! < losses![0]! / 4, stdout);
    assert.ok(accuracies![3]! > 90, stdout);
    const saved = await readdir(path.join(folder, 'runs/dogs-vs-cats'));
    assert.deepEqual(saved, ['model.safetensors']);
  });

  test('ends with exit code 2 at an image that cannot be read, and names it', async () => {
    await cp(path.join(folder, 'drawn'), path.join(folder, 'broken'), { recursive: true });
    await writeFile(path.join(folder, 'broken/train/disc/3.png'), 'no image');
    const { code, stderr } = await runScript('broken', ...small.slice(1));
    assert.equal(code, 2);
    assert.match(stderr, /broken.train.disc.3\.png/);
    assert.doesNotMatch(stderr, /\n {4}at /);
  });

  test('refuses a test part with a class that is not trained', async () => {
    await cp(path.join(folder, 'drawn'), path.join(folder, 'foreign'), { recursive: true });
    const val = path.join(folder, 'foreign/val');
    await rename(path.join(val, 'square'), path.join(val, 'ring'));
    const { code, stderr } = await runScript('foreign', ...small.slice(1));
    assert.equal(code, 2);
    assert.match(stderr, /class "ring" is not among the 2 that are trained \(disc, square\)/);
  });

  const refusals: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no folder', [], /^one folder is needed, got 0\n\nUsage: dogs-vs-cats <folder>/],
    ['two folders', ['a', 'b'], /^one folder is needed, got 2\n/],
    ['a missing folder', ['nowhere'], /^nowhere.train: there is no such folder; check the path\n$/],
    ['a missing test part', ['drawn'], /^drawn.test: there is no such folder; check the path\n$/],
    ['an unknown option', ['drawn', '--epoch', '3'], /^Unknown option '--epoch'.*Usage:/s],
    ['no epoch', ['drawn', '--epochs', '0'], /^--epochs: .* at least 1, got "0"\n$/],
    ['too large a batch', [...small, '--batch-size', '33'], /^batch size 33 .* 32 images; .*32\n$/],
    ['a file as --out', [...small, '--out', 'drawn/val/disc/0.png'], /^EEXIST: .*0\.png'\n$/],
  ];
  for (const [what, args, message] of refusals) {
    test(`refuses ${what} with exit code 2, in words`, async () => {
      const { code, stdout, stderr } = await runScript(...args);
      assert.equal(code, 2, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n {4}at /);
    });
  }
});

/** On the script's test images, with weights that it has saved, in a session of our own. */
async function testAccuracy(file: string): Promise<number> {
  const transform = standardPreprocessing(imageSize);
  const backend = await openBackend();
  const session = await Session.create(new Model(2), backend, {
    transform,
    batchSize: 4,
    optimizer: sgd({ lr: 0.01 }),
    seed: 1,
  });
  await session.importState(await loadWeights(file));
  let seen = noImages;
  const testSet = new ImageFolder(path.join(folder, 'drawn/val'), transform);
  for await (const { images, labels } of new DataLoader(testSet, { batchSize: 4 })) {
    seen = addBatch(seen, await session.logits(images), labels);
  }
  await backend.dispose();
  return top1(seen);
}
