/**
 * Training against PyTorch from the same weights on the same batches: losses, the first step's
 * gradients, running statistics. scripts/fixtures/README.md explains the tolerances.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { after } from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import type { Shape } from '../../src/graph/graph.js';
import { resnet18, type Stem } from '../../src/models/resnet.js';
import { adamW, sgd } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import type { StateDict } from '../../src/train/state-dict.js';
import { fastEngines } from './backends.js';
import { formulaBatch, formulaState } from './formula.js';

interface Frozen {
  readonly values: readonly number[];
  readonly norm: number;
  readonly float32Largest: number;
  readonly float32Norm: number;
}

interface Fixture {
  readonly stem: Stem;
  readonly classes: number;
  readonly batchSize: number;
  readonly imageSize: number;
  readonly steps: number;
  /** Weight and bias of every batch-norm at the start. */
  readonly batchNorm: readonly [number, number];
  readonly optimizer: { readonly kind: 'sgd' | 'adamw'; readonly lr: number };
  readonly losses: readonly number[];
  readonly lossesFloat32: readonly number[];
  /** How far PyTorch's float32 losses have gone from its float64 ones up to each step. */
  readonly lossErrorsFloat32: readonly number[];
  readonly logits: readonly number[];
  readonly gradients?: Readonly<Record<string, Frozen>>;
  readonly running?: Readonly<Record<string, Frozen>>;
}

function fixture<T>(name: string): T {
  const path = new URL(`../../../test/fixtures/training/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

const keys = fixture<Record<Stem, [string, Shape][]>>('state-dict-keys');
const engines = await fastEngines(2);
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
});

for (const stem of ['conv3x3', 'conv7x7'] as const) {
  test(`${stem}: state-dict keys, their order and shapes are PyTorch's`, () => {
    const model = resnet18({ stem, classes: stem === 'conv3x3' ? 2 : 1000 });
    const found = [...model.namedParameters()].map(([key, { shape }]) => {
      const [K, R, S, C] = shape;
      return [key, shape.length === 4 ? [K, C, R, S] : [...shape]];
    });
    assert.deepEqual(found, keys[stem]);
  });
}

/** Another order of sums may err a few times as much as PyTorch's float32 does. */
const factor = 4;

function assertFrozen(actual: StateDict, expected: Readonly<Record<string, Frozen>>): void {
  for (const [key, { values, norm, float32Largest, float32Norm }] of Object.entries(expected)) {
    const { data } = actual.get(key)!;
    const rounding = 2 ** -22 * norm;
    const tolerance = factor * float32Largest + rounding / Math.sqrt(data.length);
    values.forEach((value, i) => {
      const index = Math.floor((i * data.length) / values.length);
      const difference = Math.abs(data[index]! - value);
      assert.ok(difference <= tolerance, `${key}[${index}]: ${data[index]}, PyTorch ${value}`);
    });
    const found = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0));
    const difference = Math.abs(found - norm);
    assert.ok(
      difference <= factor * float32Norm + rounding,
      `${key}: norm ${found}, PyTorch ${norm}`,
    );
  }
}

async function train(backend: Backend, { optimizer, ...sizes }: Fixture): Promise<void> {
  const { stem, classes, batchSize, imageSize, steps } = sizes;
  const session = await Session.create(resnet18({ stem, classes }), backend, {
    batchSize,
    imageSize,
    normalization: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    optimizer: optimizer.kind === 'sgd' ? sgd(optimizer) : adamW(optimizer),
    seed: 0,
    keepGradients: true,
  });
  const shapes = keys[stem].map(([key, shape]): [string, Shape] =>
    key.startsWith('fc.') ? [key, [classes, ...shape.slice(1)]] : [key, shape],
  );
  await session.importState(formulaState(shapes, sizes.batchNorm), { strict: false });
  for (let step = 0; step < steps; step++) {
    const { loss, logits } = await session.step(formulaBatch(step, batchSize, imageSize, classes));
    const [exact, single] = [sizes.losses[step]!, sizes.lossesFloat32[step]!];
    const message = `loss of step ${step + 1}: ${loss}, PyTorch ${single}, in float64 ${exact}`;
    const tolerance = Math.max(1e-4, factor * sizes.lossErrorsFloat32[step]!);
    assert.ok(Math.abs(loss - single) <= tolerance, message);
    if (step > 0) continue;
    sizes.logits.forEach((value, i) => assert.ok(Math.abs(logits[i]! - value) <= 1e-4));
    if (sizes.gradients) assertFrozen(await session.gradients(), sizes.gradients);
  }
  if (sizes.running) assertFrozen(await session.exportState(), sizes.running);
  await session.dispose();
}

for (const name of [
  'article-sgd',
  'article-momentum',
  'article-adamw',
  'article-kinks',
  'torchvision-sgd',
]) {
  const described = fixture<Fixture>(name);
  for (const { title, backend, skip } of engines) {
    test(`${name}, ${described.steps} steps: PyTorch's on ${title}`, { skip }, () =>
      train(backend!, described),
    );
  }
}
