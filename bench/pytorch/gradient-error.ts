/**
 * How exact are the gradients? Those of the article's network, parameter by parameter, against
 * PyTorch's in float64, beside what PyTorch's own float32 errs: at the start and after some steps of
 * training on the demo's drawings.
 *
 * An input of a ReLU that rounds across zero passes or stops a whole gradient. Which ones do is chance
 * in every implementation; how many is not, it goes with the errors of what lies before. So the figures
 * are root mean squares over several batches, and what a layer's parameters err together comes first: in
 * the last block such an input is so rare that of few batches it may have none, and a parameter of it errs
 * a hundred times as much as soon as there is one. The medians beside them say little where that is so in
 * about every second batch. The drawings are alike: an input that is all but zero for one batch may be so
 * for all, and several networks, each from its own seed, say more than several batches.
 *
 *     node dist/bench/pytorch/gradient-error.js --help
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
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
  type Backend,
  type Batch,
} from 'plusx';
import { parseGradientOptions, type GradientOptions } from './gradient-options.js';
import { reportError } from './options.js';
import { plusxFolder } from './plusx-package.js';
import { findPython } from './python.js';
import { summarize } from './statistics.js';

/** Relative errors, ‖gradient − exact‖ ÷ ‖exact‖, and ‖exact‖. */
interface Errors {
  readonly plusx: number;
  readonly pytorch: number;
  readonly norm: number;
}

type Side = 'plusx' | 'pytorch';

/** What several batches err. */
interface Row {
  readonly key: string;
  readonly plusx: number;
  readonly pytorch: number;
  readonly ratio: number;
  readonly ratioOfMedians: number;
}

/** What every comparison needs. */
interface Tools {
  readonly options: GradientOptions;
  readonly python: string;
  readonly scratch: string;
  readonly backend: Backend;
}

interface Comparison {
  readonly version: string;
  readonly errors: Readonly<Record<string, Errors>>;
}

const log = (line: string) => process.stderr.write(`${line}\n`);

try {
  const options = parseGradientOptions(process.argv.slice(2));
  const python = await findPython(options.python, path.join(cacheFolder(), 'pytorch'), log);
  const backend = await openBackend({ device: options.device });
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'plusx-gradient-error-'));
  try {
    await compareGradients({ options, python, scratch, backend });
  } finally {
    await backend.dispose();
    rmSync(scratch, { recursive: true });
  }
} catch (error) {
  process.exitCode = reportError(error, 'gradient-error');
}

async function compareGradients(tools: Tools): Promise<void> {
  const { options, scratch, backend } = tools;
  const { imageSize, batchSize, steps, networks } = options;
  const transform = standardPreprocessing(imageSize);
  await drawDemoDataset(path.join(scratch, 'data'));
  const dataset = new ImageFolder(path.join(scratch, 'data/train'), transform);
  const atStart: Comparison[] = [];
  const trained: Comparison[] = [];
  for (let seed = 0; seed < networks; seed++) {
    const loader = new DataLoader(dataset, { batchSize, shuffle: true, seed, dropLast: true });
    const session = await Session.create(
      createModel('resnet18', { classes: 2, stem: 'conv3x3' }),
      backend,
      {
        transform,
        batchSize,
        optimizer: sgd({ lr: 0.01 }),
        seed,
        keepGradients: true,
      },
    );
    atStart.push(...(await compareBatches(tools, session, loader)));
    for (let taken = 0; taken < steps;) {
      for await (const batch of loader) {
        if (taken++ >= steps) break;
        await session.step(batch);
      }
    }
    trained.push(...(await compareBatches(tools, session, loader)));
    await session.dispose();
  }
  report(tools, 0, atStart);
  report(tools, steps, trained);
}

/** Several batches with the same weights. */
async function compareBatches(
  tools: Tools,
  session: Session,
  loader: DataLoader,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for await (const batch of loader) {
    if (comparisons.length === tools.options.batches) break;
    comparisons.push(await compareBatch(tools, session, batch));
  }
  return comparisons;
}

/** The gradients of a batch as plusx and as PyTorch computes them; the weights stay as they are. */
async function compareBatch(
  { python, scratch }: Tools,
  session: Session,
  { images, labels }: Batch,
): Promise<Comparison> {
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

function report(
  { options, backend }: Tools,
  step: number,
  comparisons: readonly Comparison[],
): void {
  const { imageSize, batchSize, networks, json } = options;
  const { version = '', errors = {} } = comparisons[0] ?? {};
  const keys = Object.keys(errors);
  const layers = [...new Set(keys.map(layerOf))].map((layer) =>
    rowOf(
      layer,
      keys.filter((key) => layerOf(key) === layer),
      comparisons,
    ),
  );
  const parameters = keys.map((key) => rowOf(key, [key], comparisons));
  if (json) {
    const largestRatio = largest(layers).ratio;
    console.log(JSON.stringify({ step, pytorch: version, largestRatio, layers, parameters }));
    return;
  }
  console.log(
    `\nafter ${step} steps, ${imageSize} px, batch ${batchSize}, root mean squares of ` +
      `${comparisons.length} batches, networks ${networks}: ${backend.description}; PyTorch ${version}`,
  );
  for (const [title, rows] of [
    ['gradients of a layer', layers],
    ['gradient of', parameters],
  ] as const) {
    console.log(`${title.padEnd(28)}  plusx   PyTorch  ratio  of medians`);
    for (const { key, plusx, pytorch, ratio, ratioOfMedians } of rows) {
      console.log(
        `${key.padEnd(28)}  ${exponent(plusx)}  ${exponent(pytorch)}   ${ratio.toFixed(2)}  ` +
          ratioOfMedians.toFixed(2),
      );
    }
    const worst = largest(rows);
    console.log(`largest ratio ${worst.ratio.toFixed(2)} (${worst.key})`);
  }
}

/** The stem, the four layers, the classifier. */
function layerOf(key: string): string {
  const [first] = key.split('.') as [string];
  return ['conv1', 'bn1'].includes(first) ? 'stem' : first;
}

/** Of these parameters together, as if they were one. */
function rowOf(key: string, keys: readonly string[], comparisons: readonly Comparison[]): Row {
  const of = (side: Side) =>
    comparisons.map(({ errors }) => {
      const each = keys.map((parameter) => errors[parameter]!);
      const error = Math.hypot(...each.map((one) => one[side] * one.norm));
      return error / Math.hypot(...each.map(({ norm }) => norm));
    });
  const [plusx, pytorch] = [rootMeanSquare(of('plusx')), rootMeanSquare(of('pytorch'))];
  const ratioOfMedians = summarize(of('plusx')).median / summarize(of('pytorch')).median;
  return { key, plusx, pytorch, ratio: plusx / pytorch, ratioOfMedians };
}

function largest(rows: readonly Row[]): Row {
  return rows.reduce((a, b) => (a.ratio > b.ratio ? a : b));
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
}

function exponent(value: number): string {
  return value.toExponential(1);
}
