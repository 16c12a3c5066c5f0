/**
 * Records what the native engine is asked to compute, and what the reference says to it: every case
 * of step-cases.ts, and a training step of a small residual network.
 */
import type { TensorData } from '../../../src/backend/backend.js';
import { encodeProgram, kernelCapabilities } from '../../../src/backend/program.js';
import { openReference } from '../../../src/backend/reference/index.js';
import { bytesPerElement, elementCount } from '../../../src/graph/graph.js';
import { compilePlan } from '../../../src/plan/compile.js';
import { initialValues } from '../../../src/train/initialize.js';
import { sgd } from '../../../src/train/optimizers.js';
import { trainingGraph } from '../../../src/train/training-graph.js';
import { noiseBatch, smallResNet, smallSessionOptions } from '../../train/small-resnet.js';
import { runCase, toleranceOf } from '../run-case.js';
import type { StepCase } from '../step-case.js';
import { stepCases } from '../step-cases.js';
import type { RecordedCase } from './case-file.js';
import { regionsOf, spreadSlots } from './spread-slots.js';

export async function recordCases(): Promise<RecordedCase[]> {
  const cases: RecordedCase[] = [];
  for (const stepCase of stepCases()) {
    cases.push(await record(stepCase, (values) => toleranceOf(values, stepCase)));
  }
  return [...cases, await recordTrainingStep()];
}

type Tolerance = (
  expected: Float32Array,
  name: string,
  all: ReadonlyMap<string, Float32Array>,
) => number;

async function record(
  { title, graph, data, capabilities, precision = 'fp32' }: Omit<StepCase, 'reduction'>,
  tolerance: Tolerance,
): Promise<RecordedCase> {
  const plan = spreadSlots(
    compilePlan(graph, { ...kernelCapabilities, ...capabilities }, undefined, precision),
  );
  const expected = await runCase(openReference(), { title, graph, data, precision, reduction: 0 });
  const given = Object.entries({ ...plan.inputs, ...plan.state.slots });
  const slots = { ...plan.outputs, ...plan.state.slots };
  return {
    title,
    arenaBytes: plan.arenaBytes,
    chunks: given.map(([name, { offset }]) => ({ offset, data: data.get(name)! })),
    steps: plan.steps.map((step) => ({
      program: encodeProgram({ ...plan, steps: [step] }),
      regions: regionsOf(step),
    })),
    results: [...expected].map(([name, values]) => ({
      name,
      offset: slots[name]!.offset,
      bytesPerNumber: bytesPerElement[slots[name]!.dtype],
      tolerance: tolerance(values, name, expected),
      values,
    })),
  };
}

/**
 * A whole step, with memory used again and again. Its velocities hold the gradients. float32 and
 * float64 agree to 1e-4 over a step that stays clear of ReLU's kinks, as in test/parity/training:
 * that, at the size of each tensor's largest value. The gradient of a batch-norm's bias is a sum that
 * nearly cancels, for the next batch-norm takes every shift away: it is taken at the size of the
 * weight's gradient, whose terms are as large.
 */
async function recordTrainingStep(): Promise<RecordedCase> {
  const [N, imageSize] = [4, 17];
  const model = smallResNet();
  const optimizer = sgd({ lr: 0.05, momentum: 0.9, weightDecay: 1e-4, nesterov: true });
  const graph = trainingGraph(model, { ...smallSessionOptions(N, imageSize), optimizer });
  const weights = new Map(initialValues(model, 5));
  const data = new Map<string, TensorData>(
    Object.entries({ ...noiseBatch(0, N, imageSize), hyper: Float32Array.of(0.05, 1, 1) }),
  );
  for (const [name, { shape }] of graph.state) {
    const values = weights.get(name) ?? new Float32Array(elementCount(shape));
    data.set(name, awayFromKinks(name, values));
  }
  const largest = (values: Float32Array) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const title = 'a training step of a small residual network';
  return record({ title, graph, data }, (values, name, all) => {
    const weight = all.get(name.replace(/\.bias$/, '.weight'))!;
    return 1e-4 * Math.max(largest(values), name.startsWith('optimizer.') ? largest(weight) : 0);
  });
}

/** Batch-norms start with weight 1/16 and bias 1/4: see scripts/fixtures/README.md. */
function awayFromKinks(name: string, values: Float32Array): Float32Array {
  if (name.endsWith('.weight') && values.every((value) => value === 1)) return values.fill(1 / 16);
  if (name.endsWith('.bias') && !name.startsWith('optimizer.') && values.every((v) => v === 0)) {
    return values.fill(1 / 4);
  }
  return values;
}
