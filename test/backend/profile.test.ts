/** On every engine: a profiled run is a run, and the machine's limits are above what steps reach. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import type { Backend, Executable } from '../../src/backend/backend.js';
import { compilePlan } from '../../src/plan/compile.js';
import { sgd } from '../../src/train/optimizers.js';
import { initialValues } from '../../src/train/initialize.js';
import { trainingGraph } from '../../src/train/training-graph.js';
import { allEngines } from '../parity/backends.js';
import { noiseBatch, smallResNet, smallSessionOptions } from '../train/small-resnet.js';

const engines = await allEngines(2);
after(async () => {
  for (const { backend } of engines) await backend?.dispose();
});

const model = smallResNet();
const optimizer = sgd({ lr: 0.1, momentum: 0.9 });
const graph = trainingGraph(model, { ...smallSessionOptions(4, 16), optimizer });
const { images, labels } = noiseBatch(0, 4, 16);
const inputs = { images, labels, hyper: Float32Array.of(0.1, 1, 1) };

async function start(backend: Backend): Promise<Executable> {
  const executable = await backend.compile(compilePlan(graph, backend.capabilities));
  for (const [key, data] of initialValues(model, 0)) {
    await executable.write(executable.plan.state.slots[key]!, data);
  }
  return executable;
}

/** Outputs and state as bytes: NaN equals NaN, and 0 is not -0. */
async function bytesOf(executable: Executable): Promise<Map<string, Buffer>> {
  const { outputs, state } = executable.plan;
  const found = new Map<string, Buffer>();
  for (const [name, slot] of Object.entries({ ...outputs, ...state.slots })) {
    found.set(name, Buffer.from((await executable.read(slot)).buffer));
  }
  return found;
}

for (const { title, backend, skip } of engines) {
  test(
    `${title}: a profile has a time for each step, and the results of a run`,
    { skip },
    async () => {
      const [ran, profiled] = [await start(backend!), await start(backend!)];
      for (let step = 0; step < 2; step++) {
        await ran.run(inputs);
        const begin = performance.now();
        const seconds = await profiled.profile!(inputs);
        const all = (performance.now() - begin) / 1000;
        assert.equal(seconds.length, profiled.plan.steps.length);
        const wrong = seconds.findIndex((value) => !(value > 0 && value < all));
        assert.equal(wrong, -1, `step ${wrong} took ${seconds[wrong]} of ${all} s`);
        assert.ok(seconds.reduce((a, b) => a + b, 0) <= all);
      }
      assert.deepEqual(await bytesOf(profiled), await bytesOf(ran));
      await profiled.dispose();
      await ran.dispose();
    },
  );

  test(`${title}: the peaks are those of a machine`, { skip }, async () => {
    const { flopsPerSecond, bytesPerSecond } = await backend!.measurePeaks();
    for (const rate of [flopsPerSecond, bytesPerSecond]) {
      assert.ok(rate > 1e8 && rate < 1e15, `${rate} a second`);
    }
  });
}
