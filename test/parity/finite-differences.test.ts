/**
 * Each op's gradient, as the backward walk and every engine compute it, against central finite
 * differences of the op's forward pass.
 *
 * The objective is f = Σ r·op(inputs) with fixed r, 1/2 to 1 in size, so that every output's
 * gradient counts.
 * The forward pass runs in float64 (float64-forward.ts), where (f(x + h) - f(x - h))/2h errs by
 *   truncation: h²/6·|f‴|. Two values a channel, in batch-norm, are the steepest: |f‴| below 10³;
 *   rounding: about 2⁻⁵³·Σ|r·y|/h, with Σ|r·y| below 10⁴.
 * With h = 2⁻²⁰ both stay below 2⁻²⁴, a float32's own rounding. What remains is the engines'
 * float32: one rounding for each number summed and a few around the sum, at the size of the largest
 * value or of the terms, which are about 1.
 */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { differentiate } from '../../src/autodiff/differentiate.js';
import type { Backend, TensorData } from '../../src/backend/backend.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { elementCount, type DType, type Graph } from '../../src/graph/graph.js';
import { derivativesInto } from '../../src/ops/derivatives.js';
import { emitInto } from '../../src/ops/emit.js';
import { opTable, ruleOf, type OpName } from '../../src/ops/table.js';
import { compilePlan } from '../../src/plan/compile.js';
import { runCase } from '../backend/run-case.js';
import { allEngines } from './backends.js';
import { float64Function, type Values } from './float64-forward.js';
import { words } from './formula.js';
import { gradientCases, type CaseInput, type GradientCase } from './gradient-cases.js';

const step = 2 ** -20;

interface Objective {
  readonly graph: Graph;
  readonly data: ReadonlyMap<string, CaseInput['data']>;
}

const dtypeOf = ({ data }: CaseInput): DType => (data instanceof Int32Array ? 'i32' : 'f32');

/** Multiples of 1/64 between 1/2 and 1, of either sign. */
function awayFromZero(count: number): Float32Array {
  return Float32Array.from(words(7, count), (w) => (w % 2 === 0 ? 1 : -1) * (1 - (w % 33) / 64));
}

/** f as a graph; with `gradients`, its outputs are those of the wanted inputs, by name. */
function objective(op: OpName, made: GradientCase, gradients: boolean): Objective {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => 'case');
  const data = new Map(made.inputs.map((input) => [input.name, input.data]));
  const values = made.inputs.map((input) => {
    const type = { shape: input.shape, dtype: dtypeOf(input) };
    return builder[input.role === 'state' ? 'state' : 'input'](input.name, type);
  });
  const outputs = emit(op, values, made.attributes as never);
  for (const [output, input] of Object.entries(ruleOf(op).replaces ?? {})) {
    builder.update(made.inputs[input]!.name, outputs[Number(output)]!);
  }
  const count = elementCount(outputs[0]!.shape);
  data.set('r', awayFromZero(count));
  const r = builder.input('r', { shape: [count, 1], dtype: 'f32' });
  const [row] = emit('reshape', [outputs[0]!], { shape: [1, count] });
  const [f] = emit('matmul', [row!, r], { transposeA: false, transposeB: false });
  if (!gradients) {
    builder.output('f', f!);
    return { graph: builder.build(), data };
  }
  const wanted = made.inputs.flatMap(({ role }, i) => (role === 'wanted' ? [i] : []));
  const parameters = wanted.map((i) => values[i]!);
  differentiate(builder, f!, parameters, derivativesInto(builder)).forEach((gradient, i) => {
    builder.output(made.inputs[wanted[i]!]!.name, gradient!);
  });
  return { graph: builder.build(), data };
}

/** Central differences with respect to every value of every wanted input. */
function differences(op: OpName, made: GradientCase): Map<string, Float64Array> {
  const { graph, data } = objective(op, made, false);
  const f = float64Function(compilePlan(graph, { convAlgorithms: ['direct'] }), 'f');
  const wanted = made.inputs.filter(({ role }) => role === 'wanted');
  return new Map(
    wanted.map(({ name, data: centre }) => {
      const moved = Float64Array.from(centre);
      const values: Values = new Map<string, Float64Array | TensorData>([...data, [name, moved]]);
      const slopes = moved.map((value, i) => {
        const [above, below] = [step, -step].map((distance) => {
          moved[i] = value + distance;
          return f(values);
        });
        moved[i] = value;
        return (above! - below!) / (2 * step);
      });
      return [name, slopes];
    }),
  );
}

async function expectGradients(
  backend: Backend,
  op: OpName,
  made: GradientCase,
  expected: ReadonlyMap<string, Float64Array>,
): Promise<void> {
  const found = await runCase(backend, { title: '', reduction: 0, ...objective(op, made, true) });
  for (const [name, slopes] of expected) {
    const magnitude = slopes.reduce((largest, slope) => Math.max(largest, Math.abs(slope)), 1);
    const tolerance = 2 ** -24 * (made.reduction + 8) * magnitude;
    const gradient = found.get(name)!;
    slopes.forEach((slope, i) => {
      const message = `${made.title}: d${name}[${i}] is ${gradient[i]}, the slope is ${slope}`;
      assert.ok(Math.abs(gradient[i]! - slope) <= tolerance, message);
    });
  }
}

const engines = await allEngines(1);
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
});

for (const op of Object.keys(opTable) as OpName[]) {
  const cases = gradientCases[op];
  if ('none' in cases) {
    test(`${op} has no gradient: ${cases.none}`, () => {
      const { vjp } = ruleOf(op);
      const gradients = typeof vjp === 'function' ? vjp({} as never) : [];
      assert.ok(gradients.every((gradient) => gradient === null));
    });
    continue;
  }
  const expected = cases.map((made: GradientCase) => differences(op, made));
  for (const { title, backend, skip } of engines) {
    test(`${op}: the slopes of its forward pass on ${title}`, { skip }, async () => {
      for (const [i, made] of cases.entries()) {
        await expectGradients(backend!, op, made, expected[i]!);
      }
    });
  }
}
