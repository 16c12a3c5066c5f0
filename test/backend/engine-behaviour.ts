/** What every engine with threads of its own does alike, as tests over one way to open it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';
import type { Backend } from '../../src/backend/backend.js';
import type { Plan } from '../../src/plan/plan.js';
import { convolutionInputs, convolutionsPlan, fillPlan, imagesPlan, sumPlan } from './plans.js';

export interface EngineUnderTest {
  readonly open: (options: { readonly threads: number }) => Promise<Backend>;
  /** Where `open` comes from: a module below src/ and its export. */
  readonly module: string;
  readonly name: string;
  /** Why it is missing, as node:test's option; false where it is there. */
  readonly skip: string | false;
}

/** Declares the tests. */
export function testEngine({ open, module, name, skip }: EngineUnderTest): void {
  test('the event loop stays free during a run of 300 ms and more', { skip }, async () => {
    const backend = await open({ threads: 2 });
    const one = await backend.compile(convolutionsPlan(1));
    const start = performance.now();
    await one.run(convolutionInputs);
    const count = Math.ceil(600 / (performance.now() - start));
    for (let long = count; ; long *= 2) {
      const executable = await backend.compile(convolutionsPlan(long));
      const ticks = [performance.now()];
      const timer = setInterval(() => ticks.push(performance.now()), 5);
      await executable.run(convolutionInputs);
      clearInterval(timer);
      ticks.push(performance.now());
      const length = ticks.at(-1)! - ticks[0]!;
      if (length < 300) continue;
      const pauses = ticks.slice(1).map((tick, i) => tick - ticks[i]!);
      const longest = Math.max(...pauses);
      const figures = `${ticks.length} ticks, the longest pause ${longest} ms of ${length} ms`;
      assert.ok(longest < length / 3 && ticks.length > length / 50, figures);
      break;
    }
    await backend.dispose();
  });

  test('an output too large for the caches is the same, image by image', { skip }, async () => {
    const backend = await open({ threads: 2 });
    // 34.6 MB of output: from 32 MiB on it is stored past them.
    const images = 66;
    const [values, outputs] = [64 * 64 * 16, 64 * 64 * 32];
    const wave = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
    const [x, weight] = [wave(images * values), wave(32 * 9 * 16)];
    const run = async (plan: Plan, part: Float32Array) => {
      const executable = await backend.compile(plan);
      await executable.run({ x: part, weight });
      const y = (await executable.read(plan.outputs.y!)) as Float32Array;
      await executable.dispose();
      return y;
    };
    const all = await run(imagesPlan(images), x);
    for (const image of [0, 31, images - 1]) {
      const alone = await run(imagesPlan(1), x.slice(image * values, (image + 1) * values));
      assert.ok(alone.some((value) => value !== 0));
      assert.deepEqual(all.slice(image * outputs, (image + 1) * outputs), alone);
    }
    await backend.dispose();
  });

  test(
    'state is zero at first, and stays when a sharing executable moves it',
    { skip },
    async () => {
      const backend = await open({ threads: 2 });
      const small = await backend.compile(sumPlan(1));
      const total = small.plan.state.slots.total!;
      assert.deepEqual(await small.read(total), new Float32Array(3));
      await small.write(total, Float32Array.of(1, 2, 3));
      // What lies behind keeps the arena from growing where it is.
      const neighbour = await backend.compile(sumPlan(1));
      const large = await backend.compile(sumPlan(100_000, small.plan.state), small);
      const inputs = { x: Float32Array.of(1, 1, 1), hyper: Float32Array.of(-1, 0, 0) };
      await large.run(inputs);
      await small.run(inputs);
      assert.deepEqual(await small.read(total), Float32Array.of(3, 4, 5));
      assert.deepEqual(await large.read(total), Float32Array.of(3, 4, 5));
      assert.deepEqual(await neighbour.read(total), new Float32Array(3));
      // Freed and used memory is given out again, and is zero again.
      await large.dispose();
      const next = await backend.compile(sumPlan(1));
      assert.deepEqual(await next.read(total), new Float32Array(3));
      await backend.dispose();
    },
  );

  const turns = 'independent executables run in turn, one executable refuses a second run';
  test(turns, { skip }, async () => {
    const backend = await open({ threads: 2 });
    const executables = await Promise.all([1, 2, 3].map(() => backend.compile(sumPlan(1))));
    const inputs = { x: Float32Array.of(1, 1, 1), hyper: Float32Array.of(-1, 0, 0) };
    await Promise.all(executables.map((executable) => executable.run(inputs)));
    for (const executable of executables) {
      const total = await executable.read(executable.plan.state.slots.total!);
      assert.deepEqual(total, Float32Array.of(1, 1, 1));
    }
    const first = executables[0]!.run(inputs);
    await assert.rejects(executables[0]!.run(inputs), /internal: a run is already under way/);
    await first;
    await backend.dispose();
  });

  test('an executable that was disposed of refuses to run', { skip }, async () => {
    const backend = await open({ threads: 1 });
    const executable = await backend.compile(fillPlan(64));
    await executable.run({});
    await executable.dispose();
    await assert.rejects(executable.run({}), /internal: the executable was disposed of/);
    await backend.dispose();
  });

  const source = new URL('../../src/', import.meta.url).href;
  const script = `
    import { ${name} } from '${source}${module}';
    import { GraphBuilder } from '${source}graph/builder.js';
    import { compilePlan } from '${source}plan/compile.js';
    const backend = await ${name}({ threads: 3 });
    const builder = new GraphBuilder();
    const type = { shape: [1e7], dtype: 'f32' };
    builder.output('y', builder.node('fill', [], { ...type, value: 7 }, [type], '')[0]);
    const executable = await backend.compile(compilePlan(builder.build(), backend.capabilities));
    await executable.run({});
    console.log((await executable.read(executable.plan.outputs.y)).at(-1));
  `;

  test(
    'a process stays for a run, and with an idle executable ends by itself',
    { skip },
    async () => {
      assert.equal(await outputOf(script), '7\n');
    },
  );

  const unused = 'a process ends by itself with a backend that was opened and never used';
  test(unused, { skip }, async () => {
    assert.equal(
      await outputOf(`import { ${name} } from '${source}${module}'; await ${name}();`),
      '',
    );
  });
}

async function outputOf(program: string): Promise<string> {
  const args = ['--input-type=module', '--eval', program];
  return (await promisify(execFile)(process.execPath, args, { timeout: 20_000 })).stdout;
}
