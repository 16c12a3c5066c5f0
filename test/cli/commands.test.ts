/** A tiny run from start to end through the command line, and the records that machines read. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { drawImages } from '../train/drawn-images.js';
import { runCli } from './run-cli.js';

const recipe = '--stem conv3x3 --image-size 16 --batch-size 4 --seed 0'.split(' ');
let cwd = '';

before(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'plusx-cli-'));
  await drawImages(path.join(cwd, 'data'), { train: [6, 6], val: [2, 2] });
});
after(() => rm(cwd, { recursive: true, force: true }));

describe('train, eval and predict', () => {
  test('train --json writes start, step, epoch and summary records, words to stderr', async () => {
    const args = ['train', 'data', ...recipe, '--epochs', '2', '--out', 'run', '--json'];
    const { code, stderr, records } = await runCli(args, { cwd });
    assert.equal(code, 0, stderr);
    const types = records().map(({ type }) => String(type));
    assert.equal(types[0], 'start');
    assert.equal(types.at(-1), 'summary');
    assert.equal(types.filter((type) => type === 'epoch').length, 2);
    assert.ok(types.includes('step'));

    const start = records()[0]!;
    assert.equal(start['parameters'], 11_169_858);
    assert.deepEqual(start['classes'], ['disc', 'square']);
    assert.deepEqual(start['trainImagesPerClass'], [6, 6]);
    for (const key of ['flopsPerStep', 'peakMemoryBytes', 'estimatedSeconds']) {
      assert.equal(typeof start[key], 'number', key);
    }
    const epoch = records().find(({ type }) => type === 'epoch')!;
    for (const key of ['valLoss', 'valTop1', 'trainLoss'])
      assert.equal(typeof epoch[key], 'number');

    const words = ['model', 'images', 'step', 'memory', 'device', 'time'];
    for (const word of words) assert.match(stderr, new RegExp(`^${word} +\\S`, 'm'));
    assert.match(stderr, /11,169,858 parameters/);
    assert.match(stderr, /plusx eval run\/best\.safetensors/);
    assert.match(stderr, /plusx predict run\/best\.safetensors/);
    const kept = ['config.json', 'metrics.jsonl', 'last.safetensors', 'best.safetensors'];
    for (const file of [...kept, 'summary.json']) {
      assert.ok(existsSync(path.join(cwd, 'run', file)), file);
    }
  });

  test('train --precision bf16 says so beside the device, and goes on in no other', async () => {
    const small = '--model resnet20 --image-size 8 --batch-size 4 --epochs 1'.split(' ');
    const mixed = ['--precision', 'bf16', '--device', 'reference', '--out', 'mixed'];
    const { code, stderr, records } = await runCli(
      ['train', 'data', ...small, ...mixed, '--json'],
      { cwd },
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^device +reference \(TypeScript, 1 thread\), bf16$/m);
    assert.equal((records()[0]!['config'] as { precision: string }).precision, 'bf16');

    const other = ['train', '--resume', 'mixed', '--precision', 'fp32', '--epochs', '2'];
    const resumed = await runCli(other, { cwd });
    assert.match(resumed.stderr, /precision is "fp32" now, the run was started with "bf16"/);
    assert.equal(resumed.code, 2);
  });

  test('eval --json agrees with the best epoch of the run', async () => {
    const args = ['eval', 'run/best.safetensors', 'data', '--json'];
    const { code, stderr, records } = await runCli(args, { cwd });
    assert.equal(code, 0, stderr);
    const [evaluation] = records();
    const summary = JSON.parse(readFileSync(path.join(cwd, 'run/summary.json'), 'utf8')) as {
      bestTop1: number;
    };
    assert.equal(evaluation!['top1'], summary.bestTop1);
    assert.equal(evaluation!['images'], 4);
    assert.equal(typeof evaluation!['loss'], 'number');
    assert.deepEqual(evaluation!['classes'], ['disc', 'square']);
    const confusion = evaluation!['confusion'] as number[][];
    assert.deepEqual(
      confusion.map((row) => row.reduce((a, b) => a + b)),
      [2, 2],
    );
    assert.equal((evaluation!['precision'] as unknown[]).length, 2);
    assert.equal((evaluation!['recall'] as unknown[]).length, 2);
  });

  test('eval prints a table for a person', async () => {
    const { code, stdout } = await runCli(['eval', 'run/best.safetensors', 'data/val'], { cwd });
    assert.equal(code, 0);
    assert.match(stdout, /^accuracy [\d.]+ %, loss [\d.]+, 4 images\nclass +precision +recall/);
  });

  test('predict --json has an object an image, its probabilities sum to 1', async () => {
    const images = ['data/val/disc/0.png', 'data/val/square/1.png'];
    const args = ['predict', 'run/best.safetensors', ...images, '--json'];
    const { code, stderr, records } = await runCli(args, { cwd });
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      records().map((record) => record['path']),
      images,
    );
    for (const record of records()) {
      const classes = record['classes'] as { class: string; probability: number }[];
      assert.deepEqual(classes.map((entry) => entry.class).sort(), ['disc', 'square']);
      const sum = classes.reduce((total, { probability }) => total + probability, 0);
      assert.ok(Math.abs(sum - 1) < 1e-6, `sum ${sum}`);
    }
  });

  test('export writes a checkpoint for others, and --json says what', async () => {
    const onnx = ['--format', 'onnx', '--no-fold-batch-norm', '--opset', '17'];
    const args = ['export', 'run/best.safetensors', ...onnx, '--out', 'model.onnx', '--json'];
    const { code, stderr, records } = await runCli(args, { cwd });
    assert.equal(code, 0, stderr);
    const { bytes, ...rest } = records()[0]!;
    assert.equal(bytes, statSync(path.join(cwd, 'model.onnx')).size);
    assert.deepEqual(rest, {
      type: 'export',
      checkpoint: 'run/best.safetensors',
      file: 'model.onnx',
      format: 'onnx',
      classes: ['disc', 'square'],
      onnx: { opset: 17, nodes: 68, bytes },
    });
    assert.match(stderr, /^model\.onnx: 45 MB, opset 17, 68 nodes$/m);
  });

  test('export puts the file beside the checkpoint', async () => {
    const args = ['export', 'run/best.safetensors', '--format', 'pth'];
    const { code, stdout, stderr } = await runCli(args, { cwd });
    assert.equal(code, 0, stderr);
    assert.equal(stdout, 'run/best.pth: 45 MB\n');
    assert.ok(existsSync(path.join(cwd, 'run/best.pth')));
  });

  test('Ctrl-C saves and prints the command that continues the run', async () => {
    const long = [...recipe, '--epochs', '200', '--out', 'stopped'];
    let sent = false;
    const stopped = await runCli(['train', 'data', ...long], {
      cwd,
      onStderr: (text, kill) => {
        if (sent || !text.includes('epoch 2/')) return;
        sent = true;
        kill('SIGINT');
      },
    });
    assert.match(stopped.stderr, /saving after this step; Ctrl-C again stops at once/);
    assert.match(
      stopped.stdout,
      /saved .*stopped\/last\.safetensors; to continue:\n {2}.*--resume/,
    );
    assert.ok(existsSync(path.join(cwd, 'stopped/last.safetensors')));
  });
});

describe('the other commands', () => {
  test('devices --json has a record a device, the reference among them', async () => {
    const { code, records } = await runCli(['devices', '--json']);
    assert.equal(code, 0);
    const names = records().map(({ name }) => name);
    assert.deepEqual(names, ['native', 'wasm', 'reference']);
    for (const device of records()) {
      if (device['available']) assert.equal(typeof device['threads'], 'number');
      else assert.equal(typeof device['reason'], 'string');
    }
  });

  test("summary --json counts torchvision's and the article's parameters", async () => {
    const count = async (...args: string[]) => {
      const { records } = await runCli(['summary', 'resnet18', ...args, '--json']);
      return records().at(-1)!['parameters'];
    };
    assert.equal(await count(), 11_689_512);
    assert.equal(await count('--stem', 'conv3x3', '--classes', '2'), 11_169_858);
  });

  test('summary takes the size that a network was made for, and its options', async () => {
    const last = async (...args: string[]) => {
      const { stdout } = await runCli(['summary', ...args]);
      return stdout.trimEnd().split('\n').at(-1);
    };
    assert.equal(
      await last('resnet20', '--shortcut', 'B'),
      'resnet20 (shortcut B): 272,474 parameters, 0.04 billion multiply-adds for an image of 32 pixels',
    );
    assert.match((await last('resnet50'))!, /: 25,557,032 parameters, 4\.09 billion/);
    assert.match((await last('vgg16'))!, /: 138,357,544 parameters, 15\.47 billion/);
  });

  test('summary --json has a record a layer, with output, parameters and multiply-adds', async () => {
    const { records } = await runCli(['summary', 'resnext50_32x4d', '--json']);
    const grouped = records().find(({ path }) => path === 'layer1.0.conv2');
    assert.deepEqual(grouped, {
      ...{ type: 'layer', path: 'layer1.0.conv2', op: 'conv2d', output: [56, 56, 128] },
      ...{ parameters: 4608, macs: 4608 * 56 * 56 },
    });
    assert.equal(records().at(-1)!['parameters'], 25_028_904);
  });

  test('bench step --json has its figures', async () => {
    const args = 'bench step --image-size 16 --batch-size 2 --steps 3 --threads 1 --json'.split(
      ' ',
    );
    const { code, stderr, records } = await runCli(args);
    assert.equal(code, 0, stderr);
    const [timing] = records();
    const { median, min, max } = timing!['secondsPerStep'] as Record<string, number>;
    assert.ok(min! > 0 && min! <= median! && median! <= max!);
    assert.equal(timing!['threads'], 1);
    assert.equal(typeof timing!['device'], 'string');
    assert.ok(Number(timing!['imagesPerSecond']) > 0);
    const { peakMemoryBytes, plannedMemoryBytes } = timing!;
    assert.equal(timing!['precision'], 'fp32');
    assert.ok(Number(peakMemoryBytes) > 0 && Number(peakMemoryBytes) <= Number(plannedMemoryBytes));
  });

  const tiny = 'bench step --image-size 16 --batch-size 2 --steps 3 --warmup 1 --threads 1';

  test('bench step --profile --json has the roofline, a record a step and the total', async () => {
    const { code, stderr, records } = await runCli([...tiny.split(' '), '--profile', '--json']);
    assert.equal(code, 0, stderr);
    const [roofline, ...rest] = records();
    const [steps, total] = [rest.slice(0, -1), rest.at(-1)!];
    assert.deepEqual([roofline!['type'], total['type']], ['roofline', 'total']);
    assert.ok(Number(roofline!['flopsPerSecond']) > 0 && Number(roofline!['bytesPerSecond']) > 0);
    assert.ok(steps.length > 20);
    for (const [i, step] of steps.entries()) {
      assert.deepEqual([step['type'], step['index']], ['profile', i]);
      for (const key of ['seconds', 'bytes', 'bytesPerSecond', 'roofline', 'share']) {
        assert.ok(Number(step[key]) > 0, `${key} of step ${i}`);
      }
    }
    const flops = steps.reduce((sum, step) => sum + Number(step['flops']), 0);
    assert.equal(flops, total['flops']);
    assert.equal(total['runs'], 3);
  });

  test('bench step --profile prints a table of the kinds and one of the steps', async () => {
    const { code, stdout, stderr } = await runCli([...tiny.split(' '), '--profile']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^resnet18 \(conv3x3 stem\), 16 px, batch 2, .+\n[\d.]+ s a step, /);
    assert.match(stdout, /\nroofline, measured: [\d.]+ GFLOP\/s, [\d.]+ GB\/s\n/);
    assert.match(stdout, /\n\nkind +algorithm +steps +ms +time % +GFLOP\/s +GB\/s +roofline %\n/);
    assert.match(stdout, /\n\nstep +kind +algorithm +output +ms +.* limit +path\n +0 +\w/);
    assert.match(stdout, /\n +\d+ +conv2d.* 2×16×16×64 .* layer1\.0\.conv1\n/);
  });

  const mixed = 'bench step --precision bf16 --device reference --model resnet20 --image-size 8';

  test('bench step --precision bf16 says so, for people and for programs', async () => {
    for (const option of ['', ' --profile']) {
      const line = `${mixed} --batch-size 2 --steps 1 --warmup 0 --json${option}`;
      const { code, stderr, records } = await runCli(line.split(' '));
      assert.equal(code, 0, stderr);
      assert.equal(records().at(-1)!['precision'], 'bf16');
      assert.match(stderr, /^resnet20, 8 px, batch 2, reference typescript, 1 threads, bf16:$/m);
    }
  });

  test('bench step --precision bf16 --plan has maps of bf16 and weights of f32', async () => {
    const { code, stdout, stderr } = await runCli([...mixed.split(' '), '--plan']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\n\d+ conv2d x=bf16\[.* weight=f32\[.* y=bf16\[.* {2}\/\/ conv1\n/);
  });

  test('bench step --inference profiles what an evaluation does in every run', async () => {
    const args = [...tiny.split(' '), '--inference', '--profile', '--json'];
    const { code, stderr, records } = await runCli(args);
    assert.equal(code, 0, stderr);
    const steps = records().filter(({ type }) => type === 'profile');
    assert.ok(steps.length > 20 && steps.every(({ seconds }) => Number(seconds) > 0));
    const kinds = new Set(steps.map(({ kind }) => kind));
    assert.ok(!kinds.has('packWeight') && !kinds.has('softmaxCrossEntropy'));
  });

  test('bench step --plan prints every step with its tensors, and runs nothing', async () => {
    const { code, stdout, stderr } = await runCli([...tiny.split(' '), '--plan']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^arena \d+ bytes, state \d+, \d+ flop, \d+ steps\ninput images u8/);
    assert.match(
      stdout,
      /\n\d+ conv2d.* x=f32\[2,16,16,64\]@.* algorithm="\w+".*  \/\/ layer1\.0\.conv1\n/,
    );
    const { records } = await runCli([...tiny.split(' '), '--plan', '--json']);
    const [plan] = records();
    assert.equal(plan!['type'], 'plan');
    const lines = stdout.split('\n').filter((line) => /^\d/.test(line));
    assert.equal((plan!['steps'] as unknown[]).length, lines.length);
  });
});
