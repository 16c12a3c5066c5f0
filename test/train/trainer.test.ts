/** The trainer in one process, on a small ResNet-18 at 8 pixels. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { loadCheckpoint } from '../../src/train/checkpoint.js';
import { Classifier } from '../../src/train/classifier.js';
import { evaluate, predict } from '../../src/train/evaluate.js';
import {
  train,
  type StartEvent,
  type StepEvent,
  type TrainOptions,
} from '../../src/train/trainer.js';
import { drawImages } from './drawn-images.js';
import { readMetrics } from './metrics-lines.js';

let folder: string;
let photos: string;
const run = (name: string) => path.join(folder, name);
const quick = (out: string, options: TrainOptions = {}): TrainOptions => ({
  folder: photos,
  stem: 'conv3x3',
  imageSize: 8,
  batchSize: 4,
  epochs: 2,
  out: run(out),
  ...options,
});

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'plusx-train-'));
  photos = path.join(folder, 'photos');
  // Nine images in batches of four: the last batch is a single image.
  await drawImages(photos, { train: [5, 4], val: [2, 1] });
});

after(() => rm(folder, { recursive: true, force: true }));

test('a run announces itself, reports every step and leaves its five files', async () => {
  let start: StartEvent | undefined;
  const steps: StepEvent[] = [];
  const summary = await train(quick('first', { logEvery: 2 }), {
    start: (event) => (start = event),
    step: (event) => steps.push(event),
  });
  assert(start);
  assert.deepEqual(start.classes, ['disc', 'square']);
  assert.deepEqual(start.trainImagesPerClass, [5, 4]);
  assert.deepEqual(start.valImagesPerClass, [2, 1]);
  assert.equal(start.parameters, 11_169_858);
  assert(start.flopsPerStep > 1e8 && start.peakMemoryBytes > 4 * 11_169_858);
  assert(start.estimatedSeconds > 0 && start.stepsPerEpoch === 3);
  assert.deepEqual(
    steps.map(({ epoch, step, steps, globalStep, totalSteps }) => [
      ...[epoch, step, steps, globalStep, totalSteps],
    ]),
    [1, 2, 3, 4, 5, 6].map((t) => [t < 4 ? 1 : 2, ((t - 1) % 3) + 1, 3, t, 6]),
  );
  assert(steps.every((step) => step.imagesPerSecond > 0 && step.loss > 0));
  assert.equal(steps.at(-1)!.remainingSeconds, 0);
  assert.equal(summary.status, 'finished');
  assert.equal(summary.resume, null);
  assert.equal(summary.epochs.length, 2);
  assert.deepEqual((await readdir(summary.run)).sort(), [
    'best.safetensors',
    'config.json',
    'last.safetensors',
    'metrics.jsonl',
    'summary.json',
  ]);
  assert.deepEqual(JSON.parse(await readFile(path.join(summary.run, 'summary.json'), 'utf8')), {
    ...summary,
  });
  const lines = await readMetrics(summary.run);
  assert.deepEqual(
    lines.map(({ kind, globalStep }) => [kind, globalStep]),
    [
      ['step', 2],
      ['epoch', 3],
      ['step', 4],
      ['step', 6],
      ['epoch', 6],
    ],
  );
});

test('evaluation of the best checkpoint repeats the validation of its epoch', async () => {
  const best = path.join(run('first'), 'best.safetensors');
  const { training } = await loadCheckpoint(best);
  const epoch = training!.progress.epochs.at(-1)!;
  const evaluation = await evaluate(best, photos, { batchSize: 3 });
  assert.equal(evaluation.top1, epoch.valTop1);
  assert.equal(evaluation.loss, epoch.valLoss);
  assert.equal(evaluation.images, 3);
  assert.deepEqual(
    evaluation.confusion.map((row) => row.reduce((a, b) => a + b, 0)),
    [2, 1],
  );
});

test('a prediction lists all classes by probability, alike alone and in a batch', async () => {
  const best = path.join(run('first'), 'best.safetensors');
  const images = ['val/disc/0.png', 'val/square/0.png'].map((name) => path.join(photos, name));
  const predictions = await predict(best, images);
  assert.deepEqual(
    predictions.map((prediction) => prediction.path),
    images,
  );
  for (const { classes } of predictions) {
    assert.deepEqual(classes.map((entry) => entry.class).sort(), ['disc', 'square']);
    assert(classes[0]!.probability >= classes[1]!.probability);
    assert(Math.abs(classes[0]!.probability + classes[1]!.probability - 1) < 1e-12);
  }
  const classifier = await Classifier.load(best);
  assert.deepEqual(await classifier.classify(images[1]!), predictions[1]!.classes);
  assert.deepEqual(await classifier.classify(await readFile(images[0]!)), predictions[0]!.classes);
  await assert.rejects(classifier.classify(path.join(photos, 'none.png')), {
    code: 'image-unreadable',
  });
  await classifier.dispose();
});

test('interrupted and resumed, a run ends with the very file of one that was not', async () => {
  const options: TrainOptions = {
    optimizer: 'adamw',
    schedule: 'cosine',
    warmupEpochs: 0.5,
    logEvery: 1,
  };
  await train(quick('whole', options));
  for (const stopAt of [3, 5]) {
    const name = `stopped-${stopAt}`;
    const stop = new AbortController();
    const stopped = await train(quick(name, { ...options, signal: stop.signal }), {
      step: ({ globalStep }) => globalStep === stopAt && stop.abort(),
    });
    assert.equal(stopped.status, 'interrupted');
    assert.equal(stopped.globalStep, stopAt);
    assert.equal(stopped.resume!.command, `npx plusx train ${photos} --resume ${run(name)}`);
    const resumed = await train({ resume: run(name) });
    assert.equal(resumed.status, 'finished');
    await expectSameRun(run(name), run('whole'));
  }
});

test('a run resumed from its end, with more epochs, equals one that had them from the start', async () => {
  await train(quick('short', { epochs: 1, momentum: 0.9 }));
  await train({ resume: run('short'), epochs: 2 });
  await train(quick('long', { epochs: 2, momentum: 0.9 }));
  const [short, long] = await Promise.all(
    ['short', 'long'].map((name) => loadCheckpoint(path.join(run(name), 'last.safetensors'))),
  );
  assert.deepEqual(short, long);
});

test('metrics beyond the checkpoint, a half line and temporary files are gone on resume', async () => {
  const stop = new AbortController();
  await train(quick('torn', { logEvery: 1, signal: stop.signal }), {
    step: ({ globalStep }) => globalStep === 4 && stop.abort(),
  });
  const metrics = path.join(run('torn'), 'metrics.jsonl');
  const before = await readFile(metrics, 'utf8');
  const future = before.split('\n')[0]!.replace(/"globalStep":1/, '"globalStep":5');
  await writeFile(metrics, `${before}${future}\n{"kind":"st`);
  await writeFile(path.join(run('torn'), 'last.safetensors.99999.tmp'), 'half');
  await train({ resume: run('torn') });
  const lines = await readMetrics(run('torn'));
  assert.deepEqual(
    lines.map(({ kind, globalStep }) => `${String(kind)} ${String(globalStep)}`),
    ['step 1', 'step 2', 'step 3', 'epoch 3', 'step 4', 'step 5', 'step 6', 'epoch 6'],
  );
  assert(!existsSync(path.join(run('torn'), 'last.safetensors.99999.tmp')));
});

test('a loss that is no number stops the run, names step and last good checkpoint', async () => {
  const options = quick('diverged', { lr: 1e6, checkpointEvery: 1, epochs: 20 });
  const error = await train(options).then(
    () => assert.fail('it ended'),
    (reason: unknown) => reason as { code: string; message: string; details: { step: number } },
  );
  assert.equal(error.code, 'loss-not-finite');
  assert.match(error.message, /^step \d+ of epoch \d+: .*(NaN|Infinity)/);
  assert.match(error.message, /last good checkpoint is .*last\.safetensors \(step \d+\)/);
  assert.match(error.message, /lower --lr than 1000000/);
  const { training, state } = await loadCheckpoint(path.join(run('diverged'), 'last.safetensors'));
  const { globalStep } = training!.progress;
  assert(globalStep < error.details.step || error.message.includes(`(step ${globalStep})`));
  for (const { data } of state.values()) assert(data.every(Number.isFinite));
});

test('a folder with a run is not overwritten, and resuming needs what it says', async () => {
  await assert.rejects(train(quick('first')), {
    code: 'run-exists',
    message: /first holds a run already; go on with it by --resume .*first/,
  });
  await assert.rejects(train({ resume: run('first'), lr: 0.5 }), { code: 'resume-option' });
  await assert.rejects(train({ resume: run('nowhere') }), {
    code: 'checkpoint-not-found',
    message: /there is no run and no checkpoint at .*nowhere/,
  });
  const half = path.join(folder, 'half.safetensors');
  await cp(path.join(run('first'), 'last.safetensors'), half);
  await truncate(half, 1_000_000);
  await assert.rejects(train({ resume: half }), { code: 'checkpoint-truncated' });
});

test('resuming on other images or classes is refused with both', async () => {
  const other = path.join(folder, 'other');
  await drawImages(other, { train: [5, 5], val: [2, 1] });
  await assert.rejects(train({ resume: run('first'), folder: other }), {
    code: 'resume-data',
    message: /10 images to train on and 3 held out, the run was started with 9 and 3/,
  });
});

test('what cannot be trained is refused before anything is written', async () => {
  const refused = (options: TrainOptions, code: string, message: RegExp) =>
    assert.rejects(train(quick('refused', options)), { code, message });
  await refused({ batchSize: 10 }, 'batch-size', /10 is larger than the data of 9 images/);
  await refused({ folder: run('missing') }, 'folder-missing', /missing/);
  const spoilt = path.join(folder, 'spoilt');
  await cp(photos, spoilt, { recursive: true });
  await writeFile(path.join(spoilt, 'train/disc/bad.jpg'), '');
  await refused({ folder: spoilt }, 'bad-images', /bad\.jpg: .*empty[^]*--skip-bad/);
  assert(!existsSync(run('refused')));
  const summary = await train(quick('skipped', { folder: spoilt, skipBad: true, epochs: 1 }));
  assert.equal(summary.skipped.length, 1);
  assert.match(summary.skipped[0]!.file, /bad\.jpg$/);
});

/** The same bytes in both checkpoints, and the same metrics but for times. */
async function expectSameRun(left: string, right: string): Promise<void> {
  for (const name of ['last.safetensors', 'best.safetensors']) {
    const [a, b] = await Promise.all([left, right].map((dir) => readFile(path.join(dir, name))));
    assert(a!.equals(b!), `${name} differs`);
  }
  assert.deepEqual(await readMetrics(left), await readMetrics(right));
}
