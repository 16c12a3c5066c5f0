/** The thread of `fuzz`: reads one mutated file after the other and keeps the figures. */
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { PlusxError } from '../../src/errors.js';
import { memorySource, type ByteSource } from '../../src/formats/byte-source.js';
import { readPickle } from '../../src/formats/torch/legacy.js';
import { openWeights, readWeightsFrom } from '../../src/formats/weights.js';
import { checkpointOf } from '../../src/train/checkpoint.js';
import { mutated, seeds, type FuzzFigures, type FuzzOptions, type Seed } from './fuzz.js';

const { mutations, seed, current } = workerData as FuzzOptions & { current: Int32Array };
const all = seeds();
const outcomes: Record<string, number> = {};
let [slowestMs, mostBytes, mostBytesFile, mostRead] = [0, 0, 0, 0];
const start = performance.now();

for (let index = 0; index < mutations; index++) {
  current[0] = index;
  const file = mutated(all, seed, index);
  const before = taken();
  const begin = performance.now();
  const { outcome, read } = await outcomeOf(file);
  slowestMs = Math.max(slowestMs, performance.now() - begin);
  const bytes = taken() - before;
  if (bytes > mostBytes) [mostBytes, mostBytesFile] = [bytes, file.bytes.length];
  mostRead = Math.max(mostRead, read / Math.max(1, file.bytes.length));
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
}
const seconds = (performance.now() - start) / 1000;
const figures: FuzzFigures = {
  ...{ mutations, seed, outcomes, seconds },
  ...{ slowestMs, mostBytes, mostBytesFile, mostRead },
};
parentPort!.postMessage(figures);

/** What this thread has taken and not given back yet. */
function taken(): number {
  const { used_heap_size: heap, external_memory: buffers } = getHeapStatistics();
  return heap + buffers;
}

async function outcomeOf({ name, bytes }: Seed): Promise<{ outcome: string; read: number }> {
  let read = 0;
  const memory = memorySource(bytes, name);
  const source: ByteSource = {
    ...memory,
    read: (position, length) => {
      read += length;
      return memory.read(position, length);
    },
  };
  try {
    if (name.startsWith('cifar')) await readPickle(source);
    else if (name.startsWith('checkpoint')) await checkpointOf(await openWeights(source));
    else await readWeightsFrom(source);
    return { outcome: 'weights', read };
  } catch (error) {
    if (error instanceof PlusxError) return { outcome: error.code, read };
    throw error;
  }
}
