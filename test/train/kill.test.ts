/**
 * A run killed with SIGKILL again and again, at random moments and while a checkpoint is being
 * written, ends with the very files of a run that was left alone.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../src/random/philox.js';
import { train, type TrainOptions } from '../../src/train/trainer.js';
import { drawImages } from './drawn-images.js';
import { readMetrics } from './metrics-lines.js';

const program = path.join(path.dirname(fileURLToPath(import.meta.url)), 'training-process.js');

type Moment = 'starting' | 'in a step' | 'writing a checkpoint' | 'validating';

/** In this order, over and over; each after a random further delay. */
const moments: readonly Moment[] = [
  ...(['writing a checkpoint', 'in a step', 'in a step', 'starting'] as const),
  ...(['writing a checkpoint', 'in a step', 'validating'] as const),
];
const kills = 14;

interface Life {
  /** `killed`, or how the process ended by itself. */
  readonly end: string;
  /** Whether a half-written checkpoint lay there when it died. */
  readonly whileWriting: boolean;
}

/** Runs a training process until `moment` and kills it there. */
async function liveUntil(moment: Moment, options: TrainOptions, random: Random): Promise<Life> {
  const child = spawn(process.execPath, [program, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal === 'SIGKILL' ? 'killed' : `exit ${code}`));
  });
  let running = true;
  void ended.then(() => (running = false));
  let said = '';
  child.stdout.on('data', (text: Buffer) => (said += text.toString()));

  const run = options.out!;
  const seen: Readonly<Record<Moment, () => boolean>> = {
    starting: () => true,
    'in a step': () => said.includes('step '),
    'writing a checkpoint': () => isWriting(run) && said.includes('start'),
    validating: () => said.includes('validation '),
  };
  while (running && !seen[moment]()) await sleep(1);
  const longest: Readonly<Record<Moment, number>> = {
    starting: 1500,
    'in a step': 200,
    'writing a checkpoint': 10,
    validating: 60,
  };
  if (running) await sleep(random.uniform(0, longest[moment]));
  child.kill('SIGKILL');
  const end = await ended;
  return { end, whileWriting: isWriting(run) };
}

function isWriting(run: string): boolean {
  return existsSync(run) && readdirSync(run).some((name) => /safetensors\.\d+\.tmp$/.test(name));
}

test(`killed ${kills} times, a run ends bit for bit as one that never was`, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'plusx-kill-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const photos = path.join(folder, 'photos');
  await drawImages(photos, { train: [9, 8], val: [2, 2] });
  const options: TrainOptions = {
    folder: photos,
    stem: 'conv3x3',
    imageSize: 8,
    batchSize: 2,
    epochs: 3,
    momentum: 0.9,
    logEvery: 1,
    checkpointEvery: 2,
    seed: 3,
  };
  const [whole, killed] = [path.join(folder, 'whole'), path.join(folder, 'killed')];
  // First, so that no process below has to build the native engine.
  await train({ ...options, out: whole, checkpointEvery: 100 });

  const seed = Date.now() % 2 ** 32;
  t.diagnostic(`kill seed ${seed}`);
  const random = new Random(seed, 'bench');
  const resuming = { ...options, out: killed, resume: true };
  let writing = 0;
  let count = 0;
  for (let life = 0; count < kills; life++) {
    const { end, whileWriting } = await liveUntil(
      moments[life % moments.length]!,
      resuming,
      random,
    );
    if (end === 'killed') count++;
    if (end === 'killed' && whileWriting) writing++;
    if (end === 'killed') continue;
    assert.equal(end, 'exit 0');
    break;
  }
  t.diagnostic(`${count} kills, ${writing} of them while a checkpoint was being written`);
  assert(count >= 10, `only ${count} kills before the run was over`);
  assert(writing >= 1, 'no kill came while a checkpoint was being written');

  const summary = await train(resuming);
  assert.equal(summary.status, 'finished');
  assert.deepEqual(readdirSync(killed).sort(), readdirSync(whole).sort());
  assert.deepEqual(await readMetrics(killed), await readMetrics(whole));
  for (const name of ['last.safetensors', 'best.safetensors']) {
    const [a, b] = await Promise.all(
      [killed, whole].map((run) => readTensors(path.join(run, name))),
    );
    assert(a!.equals(b!), `${name}: the weights differ`);
  }
});

/** All tensors' bytes: the configuration before them differs in `checkpointEvery`. */
async function readTensors(file: string): Promise<Buffer> {
  const bytes = await readFile(file);
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE()));
}
