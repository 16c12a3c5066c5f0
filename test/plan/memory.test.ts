import assert from 'node:assert/strict';
import test from 'node:test';
import { kernelCapabilities } from '../../src/backend/program.js';
import { resnet18 } from '../../src/models/resnet.js';
import { compilePlan } from '../../src/plan/compile.js';
import { placeBuffers, type Buffer } from '../../src/plan/memory.js';
import { slotAlignment, type Plan, type Slot, type StepKind } from '../../src/plan/plan.js';
import { byteLength } from '../../src/graph/graph.js';
import { adamW, sgd } from '../../src/train/optimizers.js';
import { evaluationGraph, trainingGraph } from '../../src/train/training-graph.js';

const buffer = (bytes: number, first: number, last: number): Buffer => ({ bytes, first, last });

test('buffers of different times share memory', () => {
  const { bytes } = placeBuffers([buffer(640, 0, 1), buffer(640, 2, 3)], 0);
  assert.equal(bytes, 640);
});

test('buffers that meet in one step do not', () => {
  const { bytes } = placeBuffers([buffer(640, 0, 2), buffer(640, 2, 3)], 0);
  assert.equal(bytes, 1280);
});

test('buffers lie behind the state and on aligned places', () => {
  const small = [buffer(1, 0, 1), buffer(65, 0, 1)];
  const { offsets, bytes } = placeBuffers(small, 128);
  for (const offset of offsets.values()) assert.equal(offset % slotAlignment, 0);
  assert.equal(bytes, 128 + 64 + 128);
});

test('a small buffer fills the gap that a dead one left', () => {
  const dead = buffer(640, 0, 1);
  const below = buffer(6400, 0, 9);
  const above = buffer(1280, 0, 9);
  const late = buffer(640, 2, 9);
  const { bytes } = placeBuffers([dead, below, above, late], 0);
  assert.equal(bytes, 640 + 6400 + 1280);
});

/** The slots that a step writes by name; all others it reads. */
function writes(kind: StepKind, name: string): boolean {
  const always = ['dx', 'dweight', 'dbias', 'factors', 'statistics', 'loss', 'dlogits'];
  if (always.includes(name) || name === 'packed') return true;
  if (name === 'y') return kind !== 'reluBackward';
  const ofChannels = ['scale', 'shift', 'mean', 'invStd'];
  return ['batchNormStatistics', 'batchNormFold'].includes(kind) && ofChannels.includes(name);
}

function slotsIn(step: Plan['steps'][number]): [string, Slot][] {
  return Object.entries(step as object).filter(
    (entry): entry is [string, Slot] =>
      typeof entry[1] === 'object' && entry[1] !== null && 'offset' in entry[1],
  );
}

const optimizers = [sgd({ lr: 0.01 }), sgd({ lr: 0.01, momentum: 0.9 }), adamW({ lr: 1e-3 })];
for (const optimizer of optimizers) {
  for (const stem of ['conv3x3', 'conv7x7'] as const) {
    test(`no step reads what another has overwritten (${stem}, ${JSON.stringify(optimizer)})`, () => {
      const normalization = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
      const options = { batchSize: 4, imageSize: 64, normalization, optimizer };
      const graph = trainingGraph(resnet18({ stem, classes: 3 }), options);
      assertNothingOverwritten(compilePlan(graph, { convAlgorithms: ['gemm'] }));
      assertNothingOverwritten(compilePlan(graph, kernelCapabilities));
    });
  }
}

for (const [batchSize, imageSize] of [
  [1, 224],
  [8, 64],
] as const) {
  test(`nor in evaluation, which prepares once (batch ${batchSize}, ${imageSize} px)`, () => {
    const normalization = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
    const options = { batchSize, imageSize, normalization };
    const graph = evaluationGraph(resnet18({ classes: 3 }), options);
    for (const capabilities of [{ convAlgorithms: ['gemm'] } as const, kernelCapabilities]) {
      const plan = compilePlan(graph, capabilities);
      assert.ok(plan.prepareSteps > 0);
      assertNothingOverwritten(plan, 2);
    }
  });
}

/**
 * Plays the plan on a map from 64-byte cells to the tensor (as shape and step) written there; a second
 * run leaves out what the first has prepared.
 */
function assertNothingOverwritten(plan: Plan, runs = 1): void {
  const cells: string[] = Array.from({ length: plan.arenaBytes / slotAlignment }, () => '');
  const cellsOf = (slot: Slot): [number, number] => {
    const end = slot.offset + byteLength(slot.shape, slot.dtype);
    return [slot.offset / slotAlignment, Math.ceil(end / slotAlignment)];
  };
  const owners = new Map<string, string>();
  const write = (slot: Slot, owner: string) => {
    const [first, end] = cellsOf(slot);
    cells.fill(owner, first, end);
    owners.set(`${slot.offset} ${byteLength(slot.shape, slot.dtype)}`, owner);
  };
  const read = (slot: Slot, what: string) => {
    const owner = owners.get(`${slot.offset} ${byteLength(slot.shape, slot.dtype)}`);
    const [first, end] = cellsOf(slot);
    assert.ok(owner, `${what} was never written`);
    for (let cell = first; cell < end; cell++) assert.equal(cells[cell], owner, what);
  };
  for (const [name, slot] of Object.entries(plan.state.slots)) write(slot, `state ${name}`);
  const play = (first: number) => {
    for (const [name, slot] of Object.entries(plan.inputs)) write(slot, `input ${name}`);
    plan.steps.forEach((step, i) => i >= first && playStep(step, i));
    for (const [name, slot] of Object.entries(plan.outputs)) read(slot, `output ${name}`);
  };
  const playStep = (step: Plan['steps'][number], i: number) => {
    const slots = slotsIn(step);
    const outputs = slots.filter(([name]) => writes(step.kind, name));
    for (const [name, slot] of slots) {
      if (name !== 'workspace' && !outputs.some(([output]) => output === name)) {
        read(slot, `step ${i} ${step.kind} ${name}`);
      }
    }
    for (const [name, slot] of slots) {
      if (name === 'workspace') write(slot, `workspace of ${i}`);
    }
    for (const [name, slot] of outputs) write(slot, `step ${i} ${name}`);
  };
  for (let run = 0; run < runs; run++) play(run === 0 ? 0 : plan.prepareSteps);
}
