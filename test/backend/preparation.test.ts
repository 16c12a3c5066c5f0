/** On every engine: what evaluation prepares is made anew when the weights have changed, only then. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import { Preparation } from '../../src/backend/preparation.js';
import { stepStart } from '../../src/backend/program.js';
import { compilePlan } from '../../src/plan/compile.js';
import { initialValues } from '../../src/train/initialize.js';
import { sgd } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import { evaluationGraph } from '../../src/train/training-graph.js';
import { allEngines } from '../parity/backends.js';
import { noiseBatch, smallResNet, smallSessionOptions } from '../train/small-resnet.js';

const engines = await allEngines(2);
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
});
const [batch, other] = [noiseBatch(0, 4, 16), noiseBatch(1, 4, 16)];
const options = { ...smallSessionOptions(4, 16), optimizer: sgd({ lr: 0.1, momentum: 0.9 }) };

/** The logits of a session that has never run, brought to the same state. */
async function logitsAfresh(session: Session, backend: Backend): Promise<Float32Array> {
  const fresh = await Session.create(smallResNet(), backend, { ...options, seed: 77 });
  await fresh.importState(await session.exportState());
  const logits = await fresh.logits(batch.images);
  await fresh.dispose();
  return logits;
}

for (const { title, backend, skip } of engines) {
  test(`${title}: training between evaluations is seen by the next one`, { skip }, async () => {
    const session = await Session.create(smallResNet(), backend!, options);
    let before = await session.logits(batch.images);
    for (let step = 0; step < 2; step++) {
      await session.step(other);
      const logits = await session.logits(batch.images);
      assert.notDeepEqual(logits, before);
      assert.deepEqual(logits, await logitsAfresh(session, backend!));
      assert.deepEqual(await session.logits(batch.images), logits);
      before = logits;
    }
    await session.dispose();
  });

  test(`${title}: weights that are written are seen by the next evaluation`, { skip }, async () => {
    const session = await Session.create(smallResNet(), backend!, options);
    const first = await session.logits(batch.images);
    const state = await session.exportState();
    const trained = await Session.create(smallResNet(), backend!, options);
    await trained.step(other);
    await session.importState(await trained.exportState());
    assert.deepEqual(await session.logits(batch.images), await trained.logits(batch.images));
    await session.importState(state);
    assert.deepEqual(await session.logits(batch.images), first);
    await session.dispose();
    await trained.dispose();
  });

  const turns = 'executables of several batch sizes take turns in one arena';
  test(`${title}: ${turns}`, { skip }, async () => {
    const images = (N: number) => batch.images.slice(0, N * 16 * 16 * 3);
    const planOf = (N: number) =>
      compilePlan(
        evaluationGraph(smallResNet(), smallSessionOptions(N, 16)),
        backend!.capabilities,
      );
    const one = await backend!.compile(planOf(1));
    for (const [key, data] of initialValues(smallResNet(), 0)) {
      await one.write(one.plan.state.slots[key]!, data);
    }
    const all = await backend!.compile(planOf(4), one);
    const run = async (executable: typeof one, N: number) => {
      await executable.run({ images: images(N) });
      return (await executable.read(executable.plan.outputs.logits!)) as Float32Array;
    };
    const alone = await run(one, 1);
    const together = await run(all, 4);
    assert.deepEqual(together.slice(0, 3), alone);
    assert.deepEqual(await run(one, 1), alone);
    assert.deepEqual(await run(one, 1), alone);
    assert.deepEqual(await run(all, 4), together);
    await one.dispose();
  });

  test(`${title}: a second run in a row leaves the preparation out`, { skip }, async () => {
    const graph = evaluationGraph(smallResNet(), smallSessionOptions(4, 16));
    const executable = await backend!.compile(compilePlan(graph, backend!.capabilities));
    const { steps, prepareSteps } = executable.plan;
    assert.ok(prepareSteps > 0);
    const ran = async () => {
      const seconds = await executable.profile!({ images: batch.images });
      assert.equal(seconds.length, steps.length);
      return seconds.slice(0, prepareSteps).some((value) => value > 0);
    };
    assert.equal(await ran(), true);
    assert.equal(await ran(), false);
    const slot = Object.values(executable.plan.state.slots)[0]!;
    await executable.write(slot, await executable.read(slot));
    assert.equal(await ran(), true);
    assert.equal(await ran(), false);
    await executable.dispose();
  });
}

test('a run that failed, and a write during a run, leave nothing to rely on', async () => {
  const preparation = new Preparation();
  const executable = { plan: { prepareSteps: 5 } } as never;
  const firstOf = () => preparation.around(executable, (first) => Promise.resolve(first));
  assert.deepEqual([await firstOf(), await firstOf()], [0, 5]);
  const failing = preparation.around(executable, () => Promise.reject(new Error('stopped')));
  await assert.rejects(failing, /stopped/);
  assert.deepEqual([await firstOf(), await firstOf()], [0, 5]);
  await preparation.around(executable, () => Promise.resolve(preparation.forget()));
  assert.deepEqual([await firstOf(), await firstOf()], [0, 5]);
});

test('a step of a program begins behind the arguments of those before it', () => {
  const program = Int32Array.of(3, 2, 100, 101, 7, 0, 1, 1, 100);
  assert.deepEqual(
    [0, 1, 2, 3].map((step) => stepStart(program, step)),
    [0, 4, 6, 9],
  );
});
