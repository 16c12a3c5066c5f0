/** The benchmark's processes: asked for steps they answer, and where they cannot they say why. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { packageRoot } from '../../src/package-root.js';
import { Data } from '../../bench/pytorch/data.js';
import { turnSchema, type Job } from '../../bench/pytorch/job.js';
import { Peer, PeerFailure } from '../../bench/pytorch/peer.js';
import { rows } from '../../bench/pytorch/rows.js';

const ours = (name: string): [string, string] => [
  process.execPath,
  path.join(packageRoot().root, 'dist/bench/pytorch', `${name}.js`),
];

describe('a process of the benchmark', () => {
  let folder = '';
  let job: Job;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'plusx-bench-test-'));
    const data = new Data(folder);
    const row = { ...rows[0]!, imageSize: 16, batchSize: 4 };
    const { task, stem, classes, imageSize, batchSize, precision } = row;
    job = {
      ...{ task, stem, classes, imageSize, batchSize, precision, threads: 2, lr: 0.01 },
      ...{ weights: await data.weights(row), images: await data.images(row), device: 'wasm' },
    };
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test('trains on from one turn to the next, and tells its memory', async () => {
    const { peer, ready } = await Peer.start(ours('plusx-peer'), job);
    assert.match(ready.instructionSet, /^wasm128/);
    const [first, second] = [await peer.steps(2), await peer.steps(1)];
    const losses = [...first.losses, ...second.losses];
    assert.equal(losses.length, 3);
    assert.ok(losses[0]! > losses[1]! && losses[1]! > losses[2]!, String(losses));
    assert.ok(first.seconds.every((value) => value > 0));
    assert.ok((await peer.peakBytes()) > 5e7);
    await peer.end();
  });

  test('tells NaN, which JSON does not have, as null', () => {
    const turn = turnSchema.parse({ seconds: [1], losses: [0.5, null], logits: [] });
    assert.deepEqual(turn.losses, [0.5, NaN]);
  });

  test('says in one line what is wrong with its job', async () => {
    const broken = { ...job, weights: path.join(folder, 'none.safetensors') };
    await assert.rejects(
      Peer.start(ours('plusx-peer'), broken),
      (error) => error instanceof PeerFailure && /none\.safetensors/.test(error.message),
    );
  });

  test('that ends without an answer is told by the last line of its errors', async () => {
    const program = [process.execPath, '-e', 'console.error("first\\nlast"); process.exit(3)'];
    await assert.rejects(
      Peer.start(program as [string, string], job),
      (error) => error instanceof PeerFailure && error.message === 'it ended: last',
    );
    await assert.rejects(Peer.start(['/no/such/program'], job), /it ended: .*ENOENT/);
  });
});
