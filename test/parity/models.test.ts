/**
 * Every network against PyTorch, from the same weights on the same images: logits of all, and the
 * loss, the logits and each gradient of a training step. scripts/fixtures/README.md
 * explains the weights and the tolerances.
 */
import assert from 'node:assert/strict';
import test, { after, describe } from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import type { Backbone } from '../../src/models/backbone.js';
import { sgd } from '../../src/train/optimizers.js';
import { toFileLayout } from '../../src/train/state-dict.js';
import { evaluationGraph, trainingGraph } from '../../src/train/training-graph.js';
import { allEngines, type Engine } from './backends.js';
import { formulaBatch, words } from './formula.js';
import { formulaWeights, modelFixture, modelOf, runGraph, type ModelCase } from './model-cases.js';

interface Evaluated extends ModelCase {
  readonly logits: readonly number[];
  /** Norm of the largest difference between PyTorch's float32 and float64 logits. */
  readonly float32: number;
}

interface Trained extends ModelCase {
  /** Which images. */
  readonly step: number;
  readonly loss: number;
  readonly lossFloat32: number;
  readonly logits: readonly number[];
  readonly logitsFloat32: number;
  /** By key: the norm, the sum under random signs, and how far float32 goes from float64. */
  readonly gradients: Readonly<Record<string, readonly [number, number, number]>>;
}

const normalization = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const engines = await allEngines(2);
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
});

/** Another order of sums may err a few times as much as PyTorch's float32 does. */
const factor = 4;

/**
 * How far a tensor of this norm may be from float64, in norm. Each of the network's layers may round
 * as Winograd's convolution does, eight times as much as a plain sum, and independently of the others.
 */
function tolerated(norm: number, float32: number, layers: number): number {
  return factor * float32 + 8 * Math.sqrt(layers) * 2 ** -24 * norm;
}

/** Layers with weights. */
function depthOf(model: Backbone): number {
  return [...model.namedParameters().values()].filter(({ shape }) => shape.length > 1).length;
}

function assertLogits(found: Float32Array, expected: readonly number[], tolerance: number): void {
  assert.equal(found.length, expected.length);
  const distance = Math.hypot(...expected.map((value, i) => value - found[i]!));
  assert.ok(distance <= tolerance, `logits are ${distance} off, tolerance ${tolerance}`);
}

/** `expected`: norm, and sum under random signs. */
function assertGradient(
  key: string,
  data: Float32Array,
  [norm, underSigns]: readonly number[],
  tolerance: number,
): void {
  const signs = words(7, data.length);
  let squares = 0;
  let sum = 0;
  data.forEach((value, i) => {
    squares += value * value;
    sum += signs[i]! >>> 31 ? -value : value;
  });
  const found = Math.sqrt(squares);
  assert.ok(Math.abs(found - norm!) <= tolerance, `${key}: norm ${found}, PyTorch ${norm}`);
  // An error of that norm under random signs: four standard deviations.
  const message = `${key}: ${sum} under signs, PyTorch ${underSigns}`;
  assert.ok(Math.abs(sum - underSigns!) <= 4 * tolerance, message);
}

async function evaluate(backend: Backend, model: Backbone, row: Evaluated, weights: Weights) {
  const { images } = formulaBatch(0, row.batchSize, row.imageSize, row.classes);
  const graph = evaluationGraph(model, { ...row, normalization });
  const tolerance = tolerated(Math.hypot(...row.logits), row.float32, depthOf(model));
  await runGraph(backend, graph, weights, { images }, (_, logits) =>
    assertLogits(logits, row.logits, tolerance),
  );
}

async function step(backend: Backend, model: Backbone, row: Trained, weights: Weights) {
  const { batchSize, imageSize } = row;
  const batch = formulaBatch(row.step, batchSize, imageSize, row.classes);
  const optimizer = sgd({ lr: 0.01 });
  const options = { batchSize, imageSize, normalization, optimizer, keepGradients: true };
  const inputs = { ...batch, hyper: Float32Array.of(0.01, 1, 1) };
  const seen = new Set<string>();
  const tolerance = (norm: number, float32: number) => tolerated(norm, float32, depthOf(model));
  await runGraph(backend, trainingGraph(model, options), weights, inputs, (name, data, shape) => {
    if (name === 'logits') {
      const allowed = tolerance(Math.hypot(...row.logits), row.logitsFloat32);
      return assertLogits(data, row.logits, allowed);
    }
    if (name === 'loss') {
      const off = Math.abs(data[0]! - row.loss);
      return assert.ok(off <= tolerance(row.loss, row.lossFloat32), `loss ${off} off`);
    }
    const key = name.slice('gradient.'.length);
    seen.add(key);
    const [norm, underSigns, float32] = row.gradients[key]!;
    const inFile = toFileLayout(shape, data).data;
    assertGradient(key, inFile, [norm, underSigns], tolerance(norm, float32));
  });
  assert.deepEqual([...seen], Object.keys(row.gradients));
}

type Weights = ReadonlyMap<string, Float32Array>;

/** Computes a case's weights once for all engines. */
function remembered(row: ModelCase) {
  const model = modelOf(row);
  let weights: Weights | undefined;
  return { model, weights: () => (weights ??= formulaWeights(model, row)) };
}

/**
 * All engines where a network is small, else one of the native ones and WASM: what instruction sets
 * make of each op is held by the tests of ops.
 */
const native = engines.find(({ title, skip }) => title.startsWith('native') && !skip);
const fast = engines.filter((engine) => engine === native || engine.title === 'wasm');

function enginesFor({ model }: ModelCase): readonly Engine[] {
  return /^(resnet20|plain20|alexnet)$/.test(model) ? engines : fast;
}

for (const row of modelFixture<Trained>('training')) {
  describe(`a training step of ${row.title} is PyTorch's`, () => {
    const { model, weights } = remembered(row);
    for (const { title, backend, skip } of enginesFor(row)) {
      test(`on ${title}`, { skip }, () => step(backend!, model, row, weights()));
    }
  });
}

for (const row of modelFixture<Evaluated>('evaluation')) {
  describe(`the logits of ${row.title} are PyTorch's`, () => {
    const { model, weights } = remembered(row);
    for (const { title, backend, skip } of fast) {
      test(`on ${title}`, { skip }, () => evaluate(backend!, model, row, weights()));
    }
  });
}
