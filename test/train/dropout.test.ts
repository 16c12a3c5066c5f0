/** Dropout in training steps: a function of seed and step, whatever ran before and on how many threads. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Backend } from '../../src/backend/backend.js';
import { dropout, flatten, linear, relu, sequential, Session, sgd } from '../../src/index.js';
import { allEngines } from '../parity/backends.js';
import { noiseBatch, smallSessionOptions } from './small-resnet.js';

const [N, imageSize] = [4, 9];
const model = sequential(
  flatten,
  linear(imageSize ** 2 * 3, 33),
  relu,
  dropout({ p: 0.5 }),
  linear(33, 17),
  dropout({ p: 0.2 }),
  linear(17, 3),
);

function open(backend: Backend, seed = 5): Promise<Session> {
  const optimizer = sgd({ lr: 0.05, momentum: 0.9 });
  return Session.create(model, backend, {
    ...smallSessionOptions(N, imageSize),
    optimizer,
    seed,
  });
}

/** Losses and logits of steps `from` … `to` - 1. */
async function steps(session: Session, from: number, to: number) {
  const results = [];
  for (let i = from; i < to; i++) results.push(await session.step(noiseBatch(i, N, imageSize)));
  return results;
}

const engines = await allEngines(1);
const threeThreads = await allEngines(3);
after(async () => {
  for (const { backend } of [...engines, ...threeThreads]) await backend?.dispose();
});

engines.forEach(({ title, backend, skip }, i) => {
  test(`${title}: a resumed run drops what the run without a break drops`, { skip }, async () => {
    const whole = await open(backend!);
    const results = await steps(whole, 0, 4);
    const first = await open(backend!);
    await steps(first, 0, 2);
    const second = await open(threeThreads[i]!.backend!);
    await second.importState(await first.exportState());
    second.stepsTaken = 2;
    assert.deepEqual(await steps(second, 2, 4), results.slice(2));
    assert.deepEqual(await second.exportState(), await whole.exportState());
    for (const session of [whole, first, second]) await session.dispose();
  });
});

test('masks change from step to step and from seed to seed, evaluation has none', async () => {
  const { backend } = engines[0]!;
  const session = await open(backend!);
  const weights = await session.exportState();
  const images = noiseBatch(0, N, imageSize);
  const logitsAt = async (run: Session, stepsTaken: number) => {
    await run.importState(weights);
    run.stepsTaken = stepsTaken;
    return (await run.step(images)).logits;
  };
  const other = await open(backend!, 6);
  const first = await logitsAt(session, 0);
  assert.deepEqual(await logitsAt(session, 0), first);
  assert.notDeepEqual(await logitsAt(session, 1), first);
  assert.notDeepEqual(await logitsAt(session, 2 ** 32), first);
  assert.notDeepEqual(await logitsAt(other, 0), first);
  await session.importState(weights);
  const evaluated = await session.logits(images.images);
  session.stepsTaken = 7;
  assert.deepEqual(await session.logits(images.images), evaluated);
  await session.dispose();
  await other.dispose();
});
