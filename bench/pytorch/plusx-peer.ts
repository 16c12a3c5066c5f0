/** plusx's side of the benchmark: a process that stays alive and works when it is told to. */
import { readFile } from 'node:fs/promises';
import { createModel, imagenet, loadWeights, openBackend, Session, sgd } from 'plusx';
import type { Job } from './job.js';
import { serve, type Worker } from './serve.js';

await serve(start);

async function start(job: Job): Promise<Worker> {
  const { device = 'native', instructionSet, threads, precision } = job;
  const { stem, classes, imageSize, batchSize } = job;
  const backend = await openBackend({
    device,
    threads,
    ...(instructionSet ? { instructionSet } : {}),
  });
  const session = await Session.create(createModel('resnet18', { classes, stem }), backend, {
    imageSize,
    batchSize,
    normalization: imagenet,
    optimizer: sgd({ lr: job.lr }),
    precision,
  });
  await session.importState(await loadWeights(job.weights));
  const bytes = new Uint8Array(await readFile(job.images));
  const images = bytes.subarray(0, batchSize * imageSize ** 2 * 3);
  const labels = Int32Array.from({ length: batchSize }, (_, i) => i % 2);
  return {
    ready: { ready: 'plusx', instructionSet: backend.instructionSet },
    async step() {
      if (job.task === 'infer') return { logits: await session.logits(images) };
      return { loss: (await session.step({ images, labels })).loss };
    },
    async dispose() {
      await session.dispose();
      await backend.dispose();
    },
  };
}
