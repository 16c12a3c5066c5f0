/** Recorded cases without Node, under sanitizers, and that what is wrong there is found. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { findCompiler, kernelSets } from '../../../src/backend/native/build.js';
import { encodeCases, type RecordedCase } from './case-file.js';
import { addressFlags, whyNotBuilt } from './kernel-checks.js';
import { recordCases } from './record-cases.js';
import { buildReplayer, runProgram } from './replayer.js';

const compiler = await findCompiler();
const skip = (await whyNotBuilt(compiler, addressFlags)) ?? false;
const cases = await recordCases();

let folder = '';
let program = '';
let files = 0;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'plusx-replay-'));
  if (skip) return;
  const { arch } = process;
  const target = { compiler: compiler!, arch, flags: addressFlags, runner: [] };
  program = await buildReplayer(target, folder);
});
after(() => rm(folder, { recursive: true, force: true }));

async function replay(recorded: readonly RecordedCase[], ...options: string[]) {
  const file = path.join(folder, `cases-${++files}`);
  await writeFile(file, encodeCases(recorded));
  return runProgram([program, ...options, file]);
}

test(
  'every case under AddressSanitizer and UndefinedBehaviorSanitizer, at 1, 2 and 3 threads',
  { skip },
  async () => {
    // Most of them keep one processor busy: two processes share them.
    const halves = [0, 1].map((half) => cases.filter((_, i) => i % 2 === half));
    const runs = await Promise.all(halves.map(async (half) => ({ half, ...(await replay(half)) })));
    for (const { half, ok, output } of runs) {
      assert.ok(ok, output);
      const reports = output.match(new RegExp(`: ${half.length} cases, 0 failures`, 'g')) ?? [];
      assert.ok(reports.length >= 1 && reports.length <= setCount(), output);
    }
  },
);

function setCount(): number {
  return Object.keys(kernelSets(process.arch)).length;
}

const convolution = cases.find(({ title }) => title.startsWith('conv2d 1×5×7×15'))!;

test('a wrong value is named: case, threads, place, both values', { skip }, async () => {
  const [result] = convolution.results;
  const values = result!.values.with(7, 1000);
  const { ok, output } = await replay([{ ...convolution, results: [{ ...result!, values }] }]);
  assert.ok(!ok);
  const line =
    /^[\w-]+, conv2d 1×5×7×15 .*, threads 3: output0\[7\]: -?[\d.]+, expected 1000 within/m;
  assert.match(output, line);
  assert.match(output, /\(1 of 204 values are wrong\)/);
});

test('a value that was not written is found', { skip }, async () => {
  const { ok, output } = await replay([{ ...convolution, steps: [] }], '--threads', '1');
  assert.ok(!ok);
  assert.match(output, /output0\[0\]: -?nan, expected .* \(204 of 204 values are wrong\)/);
});

test('four bytes beyond a tensor end the run', { skip }, async () => {
  const tensors = [...convolution.chunks, ...convolution.results];
  assert.equal(tensors.length, 3);
  for (const { offset } of tensors) {
    const steps = convolution.steps.map((step) => ({
      ...step,
      regions: step.regions.map((region) =>
        region.offset === offset ? { offset, bytes: region.bytes - 4 } : region,
      ),
    }));
    const { ok, output } = await replay([{ ...convolution, steps }], '--threads', '2');
    assert.ok(!ok, `the tensor at ${offset}`);
    assert.match(output, /AddressSanitizer: use-after-poison/);
    assert.match(output, /^replay: ended in [\w-]+, conv2d 1×5×7×15 .*, threads 2$/m);
  }
});

test('a file that holds no cases, or half a case, is refused', { skip }, async () => {
  const whole = encodeCases([convolution]);
  const file = path.join(folder, 'damaged');
  for (const content of [Buffer.alloc(0), Buffer.from('no cases'), whole.subarray(0, -4)]) {
    await writeFile(file, content);
    const { ok, output } = await runProgram([program, file]);
    assert.ok(!ok);
    assert.match(output, /damaged is not a readable file of cases/);
  }
});
