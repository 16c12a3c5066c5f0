/**
 * How exact are the gradients? Those of the article's network, parameter by parameter, against
 * PyTorch's in float64, beside what PyTorch's own float32 errs: at the start and after some steps of
 * training on the demo's drawings.
 *
 * An input of a ReLU that rounds across zero passes or stops a whole gradient. Which ones do is chance
 * in every implementation; how many is not, it goes with the errors of what lies before. So the figures
 * are root mean squares over several batches. The medians beside them say little where a layer sees such
 * an input in about every second batch.
 *
 *     node dist/bench/pytorch/gradient-error.js [--image-size 64] [--batch-size 8] [--batches 9]
 *         [--steps 200] [--device native] [--python <path>] [--json]
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import {
  cacheFolder,
  createModel,
  DataLoader,
  drawDemoDataset,
  ImageFolder,
  openBackend,
  saveWeights,
  Session,
  sgd,
  standardPreprocessing,
  type Batch,
  type DeviceChoice,
} from 'plusx';
import { plusxFolder } from './plusx-package.js';
import { findPython } from './python.js';
import { summarize } from './statistics.js';

/** Relative errors, ‖gradient − exact‖ ÷ ‖exact‖. */
interface Errors {
  readonly plusx: number;
  readonly pytorch: number;
}

interface Comparison {
  readonly version: string;
  readonly errors: Readonly<Record<string, Errors>>;
}

const { values: options } = parseArgs({
  options: {
    'image-size': { type: 'string', default: '64' },
    'batch-size': { type: 'string', default: '8' },
    batches: { type: 'string', default: '9' },
    steps: { type: 'string', default: '200' },
    device: { type: 'string', default: 'native' },
    python: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const imageSize = whole('image-size');
const batchSize = whole('batch-size');
const batches = whole('batches');
const steps = whole('steps');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'plusx-gradient-error-'));
const log = (line: string) => process.stderr.write(`${line}\n`);
const python = await findPython(options.python, path.join(cacheFolder(), 'pytorch'), log);
const backend = await openBackend({ device: options.device as DeviceChoice });
try {
  await compareGradients();
} finally {
  await backend.dispose();
  rmSync(scratch, { recursive: true });
}

async function compareGradients(): Promise<void> {
  const transform = standardPreprocessing(imageSize);
  await drawDemoDataset(path.join(scratch, 'data'));
  const dataset = new ImageFolder(path.join(scratch, 'data/train'), transform);
  const loader = new DataLoader(dataset, { batchSize, shuffle: true, seed: 0, dropLast: true });
  const session = await Session.create(
    createModel('resnet18', { classes: 2, stem: 'conv3x3' }),
    backend,
    {
      transform,
      batchSize,
      optimizer: sgd({ lr: 0.01 }),
      seed: 0,
      keepGradients: true,
    },
  );
  report(0, await compareBatches(session, loader));
  for (let taken = 0; taken < steps;) {
    for await (const batch of loader) {
      if (taken++ >= steps) break;
      await session.step(batch);
    }
  }
  report(steps, await compareBatches(session, loader));
  await session.dispose();
}

/** Several batches with the same weights. */
async function compareBatches(session: Session, loader: DataLoader): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for await (const batch of loader) {
    if (comparisons.length === batches) break;
    comparisons.push(await compareBatch(session, batch));
  }
  return comparisons;
}

/** The gradients of a batch as plusx and as PyTorch computes them; the weights stay as they are. */
async function compareBatch(session: Session, { images, labels }: Batch): Promise<Comparison> {
  const file = (name: string) => path.join(scratch, name);
  await saveWeights(file('weights.safetensors'), await session.exportState());
  await session.step({ images, labels }, { lr: 0 });
  await saveWeights(file('gradients.safetensors'), await session.gradients());
  writeFileSync(file('images.bytes'), images);
  writeFileSync(file('labels.bytes'), labels);
  const { stdout } = await promisify(execFile)(python, [
    path.join(plusxFolder, 'bench/pytorch/gradients.py'),
    ...['weights.safetensors', 'images.bytes', 'labels.bytes', 'gradients.safetensors'].map(file),
  ]);
  return JSON.parse(stdout) as Comparison;
}

function report(step: number, comparisons: readonly Comparison[]): void {
  const { version = '', errors = {} } = comparisons[0] ?? {};
  const rows = Object.keys(errors).map((key) => {
    const of = (side: keyof Errors) => comparisons.map(({ errors }) => errors[key]![side]);
    const [plusx, pytorch] = [rootMeanSquare(of('plusx')), rootMeanSquare(of('pytorch'))];
    const ratioOfMedians = summarize(of('plusx')).median / summarize(of('pytorch')).median;
    return { key, plusx, pytorch, ratio: plusx / pytorch, ratioOfMedians };
  });
  const worst = rows.reduce((a, b) => (a.ratio > b.ratio ? a : b));
  if (options.json) {
    console.log(JSON.stringify({ step, pytorch: version, largestRatio: worst.ratio, rows }));
    return;
  }
  console.log(
    `\nafter ${step} steps, ${imageSize} px, batch ${batchSize}, root mean squares of ${batches} ` +
      `batches: ${backend.description}; PyTorch ${version}`,
  );
  console.log(`${'gradient of'.padEnd(28)}  plusx   PyTorch  ratio  of medians`);
  for (const { key, plusx, pytorch, ratio, ratioOfMedians } of rows) {
    console.log(
      `${key.padEnd(28)}  ${exponent(plusx)}  ${exponent(pytorch)}   ${ratio.toFixed(2)}  ` +
        ratioOfMedians.toFixed(2),
    );
  }
  console.log(`largest ratio ${worst.ratio.toFixed(2)} (${worst.key})`);
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
}

function exponent(value: number): string {
  return value.toExponential(1);
}

function whole(name: 'image-size' | 'batch-size' | 'batches' | 'steps'): number {
  const value = Number(options[name]);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  process.stderr.write(
    `--${name}: expected a whole number of at least 1, got "${options[name]}"\n`,
  );
  process.exit(2);
}
