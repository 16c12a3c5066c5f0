/**
 * Each op forward and backward against PyTorch in float64, on every engine, with the same bits at
 * 1 and 2 threads.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { after } from 'node:test';
import type { Backend, TensorData } from '../../src/backend/backend.js';
import { runCase } from '../backend/run-case.js';
import { allEngines } from './backends.js';
import { blockCase } from './block-op-cases.js';
import * as cases from './op-cases.js';

interface Frozen {
  readonly values: readonly number[];
  readonly sum: number;
}

interface Described {
  readonly op: string;
  readonly sizes: readonly unknown[];
  readonly results: Readonly<Record<string, Frozen>>;
}

const fixtures = ['ops', 'blocks'].flatMap((name) => {
  const path = new URL(`../../../test/fixtures/ops/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { readonly cases: readonly Described[] }).cases;
});

function opCase({ op, sizes }: Described): cases.OpCase {
  const numbers = sizes as number[];
  const block = blockCase(op, sizes);
  if (block) return block.make();
  if (op === 'conv2d') return cases.conv2dCase(numbers);
  if (op === 'batchNorm') return cases.batchNormCase(numbers);
  if (op === 'pool') return cases.poolCase(sizes[0] as string, numbers.slice(1));
  if (op === 'linear') return cases.linearCase(numbers);
  if (op === 'relu') return cases.reluCase(numbers[0]!);
  if (op === 'crossEntropy') return cases.crossEntropyCase(numbers);
  if (op === 'normalizeImage') return cases.normalizeImageCase(numbers);
  const [kind, count, steps, settings] = sizes;
  type Parameters_ = Parameters<typeof cases.optimizerCase>;
  return cases.optimizerCase(
    [kind, count, steps] as unknown as Parameters_[0],
    settings as Parameters_[1],
  );
}

/** Numbers summed for one value, at most. */
function reduction({ op, sizes }: Described): number {
  const [a, b, c, d, e, f] = sizes as number[];
  const block = blockCase(op, sizes);
  if (block) return block.reduction;
  if (op === 'conv2d') return Math.max(f! * f! * Math.max(d!, e!), a! * b! * c!);
  if (op === 'batchNorm') return a! * b! * c! * 4;
  if (op === 'linear') return Math.max(a!, b!, c!);
  if (op === 'pool') return (sizes[5] as number) ** 2;
  if (op === 'crossEntropy') return a! * b!;
  return 16;
}

/**
 * One rounding (2⁻²⁴) for each number summed and a few around the sum, at the size of the largest
 * result or of the terms, which are about 1.
 */
function assertFrozen(name: string, data: Float32Array, expected: Frozen, terms: number): void {
  const { values, sum } = expected;
  const magnitude = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
  const tolerance = 2 ** -24 * (terms + 8) * magnitude;
  values.forEach((value, i) => {
    const index = Math.floor((i * data.length) / values.length);
    const message = `${name}[${index}]: ${data[index]}, PyTorch ${value}`;
    assert.ok(Math.abs(data[index]! - value) <= tolerance, message);
  });
  const found = data.reduce((total, value) => total + value, 0);
  const message = `sum of ${name}: ${found}, PyTorch ${sum}`;
  assert.ok(Math.abs(found - sum) <= tolerance * data.length, message);
}

/** The results of the last of the case's runs. */
async function runAll(backend: Backend, made: cases.OpCase): Promise<Map<string, Float32Array>> {
  const graph = made.graph();
  let data: ReadonlyMap<string, TensorData> = made.data;
  let found = new Map<string, Float32Array>();
  for (const changed of [new Map<string, TensorData>(), ...made.laterRuns]) {
    data = new Map<string, TensorData>([...data, ...found, ...changed]);
    found = await runCase(backend, { title: '', graph, data, reduction: 0 });
  }
  return found;
}

const engines = await allEngines(1);
const twoThreads = await allEngines(2);
after(async () => {
  for (const { backend } of [...engines, ...twoThreads]) await backend?.dispose();
});

for (const described of fixtures) {
  const title = `${described.op} ${JSON.stringify(described.sizes)}`;
  engines.forEach(({ title: engine, backend, skip }, i) => {
    test(`${title}: PyTorch's on ${engine}`, { skip }, async () => {
      const found = await runAll(backend!, opCase(described));
      for (const [name, expected] of Object.entries(described.results)) {
        assertFrozen(name, found.get(name)!, expected, reduction(described));
      }
      assert.deepEqual(await runAll(twoThreads[i]!.backend!, opCase(described)), found);
    });
  });
}
