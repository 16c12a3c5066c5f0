import assert from 'node:assert/strict';
import test from 'node:test';
import { differentiate } from '../../src/autodiff/differentiate.js';
import { openReference } from '../../src/backend/reference/index.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import type { Value } from '../../src/graph/graph.js';
import { derivativesInto } from '../../src/ops/derivatives.js';
import { emitInto } from '../../src/ops/emit.js';
import type { Emit } from '../../src/ops/op.js';
import { compilePlan } from '../../src/plan/compile.js';

/** Gradient of the cross-entropy of `logits(x)` against label 0, for an input x (1, 3). */
async function gradientOf(logits: (x: Value, emit: Emit) => Value, x: number[]): Promise<number[]> {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => '');
  const input = builder.input('x', { shape: [1, 3], dtype: 'f32' });
  const labels = builder.input('labels', { shape: [1], dtype: 'i32' });
  const [loss] = emit('softmaxCrossEntropy', [logits(input, emit), labels], {});
  const [dx] = differentiate(builder, loss!, [input], derivativesInto(builder));
  builder.output('dx', dx!);
  const plan = compilePlan(builder.build(), { convAlgorithms: ['direct'] });
  const executable = await openReference().compile(plan);
  await executable.run({ x: Float32Array.from(x), labels: Int32Array.of(0) });
  return [...(await executable.read(plan.outputs.dx!))];
}

const softmaxMinusOneHot = (logits: number[]) => {
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  return logits.map((logit, i) => Math.exp(logit) / sum - (i === 0 ? 1 : 0));
};

function assertClose(actual: number[], expected: number[]): void {
  actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]!) < 1e-6, actual.join(', ')));
}

test('gradients of a value that is used twice are summed', async () => {
  const x = [0.1, -0.2, 0.3];
  const actual = await gradientOf((value, emit) => emit('add', [value, value], {})[0]!, x);
  const expected = softmaxMinusOneHot(x.map((v) => 2 * v)).map((v) => 2 * v);
  assertClose(actual, expected);
});

test('a skip connection passes the gradient on beside the branch', async () => {
  const x = [0.5, -0.25, 1];
  const skip = (value: Value, emit: Emit) =>
    emit('add', [emit('relu', [value], {})[0]!, value], {})[0]!;
  const upstream = softmaxMinusOneHot([1, -0.25, 2]);
  assertClose(await gradientOf(skip, x), [2 * upstream[0]!, upstream[1]!, 2 * upstream[2]!]);
});

test('a parameter that the loss does not depend on has no gradient', () => {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => '');
  const x = builder.input('x', { shape: [1, 3], dtype: 'f32' });
  const stranger = builder.input('stranger', { shape: [1], dtype: 'f32' });
  const labels = builder.input('labels', { shape: [1], dtype: 'i32' });
  const [loss] = emit('softmaxCrossEntropy', [x, labels], {});
  assert.deepEqual(differentiate(builder, loss!, [stranger], derivativesInto(builder)), [null]);
});
