import assert from 'node:assert/strict';
import test from 'node:test';
import { openReference } from '../../src/backend/reference/index.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { emitInto } from '../../src/ops/emit.js';
import { compilePlan } from '../../src/plan/compile.js';
import { printPlan } from '../../src/plan/print.js';
import { liveNodes } from '../../src/plan/schedule.js';

const capabilities = { convAlgorithms: ['direct'] } as const;

function addChain() {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => 'block');
  const x = builder.input('x', { shape: [2, 3], dtype: 'f32' });
  const [doubled] = emit('add', [x, x], {});
  emit('relu', [doubled!], {});
  const [y] = emit('reshape', [emit('relu', [doubled!], {})[0]!], { shape: [6] });
  builder.output('y', y!);
  return builder.build();
}

test('what nothing needs is not run', () => {
  assert.deepEqual(
    liveNodes(addChain()).map(({ op }) => op),
    ['add', 'relu', 'reshape'],
  );
});

test('a plan prints its steps with the place of every tensor', () => {
  assert.equal(
    printPlan(compilePlan(addChain(), capabilities)),
    [
      'arena 128 bytes, state 0, 0 flop, 2 steps',
      'input x f32[2,3]@0',
      '0 add a=f32[2,3]@0 b=f32[2,3]@0 y=f32[2,3]@64  // block',
      '1 relu x=f32[2,3]@64 y=f32[2,3]@64  // block',
      'output y f32[6]@64',
      '',
    ].join('\n'),
  );
});

test('a plan survives JSON', () => {
  const plan = compilePlan(addChain(), capabilities);
  assert.deepEqual(JSON.parse(JSON.stringify(plan)), plan);
});

test('inputs and outputs keep their memory to themselves', async () => {
  const plan = compilePlan(addChain(), capabilities);
  const executable = await openReference().compile(plan);
  await executable.run({ x: Float32Array.of(-1, 2, -3, 4, 0, 1) });
  assert.deepEqual([...(await executable.read(plan.outputs.y!))], [0, 4, 0, 8, 0, 2]);
  assert.deepEqual([...(await executable.read(plan.inputs.x!))], [-1, 2, -3, 4, 0, 1]);
});

test('an input of the wrong length is refused', async () => {
  const executable = await openReference().compile(compilePlan(addChain(), capabilities));
  await assert.rejects(executable.run({ x: new Float32Array(5) }), /Float32Array\(6\).*\(5\)/);
});
