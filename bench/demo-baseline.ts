/**
 * Is the demo data set a real task? Logistic regression on the raw pixels against the demo's
 * network, on the same held-out images. The regression gets every advantage: several sizes and
 * penalties, and the best of its epochs on the held-out images themselves.
 *
 *     node dist/bench/demo-baseline.js --help
 */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import {
  adamW,
  addBatch,
  DataLoader,
  demoRecipe,
  drawDemoDataset,
  flatten,
  ImageFolder,
  linear,
  noImages,
  openBackend,
  sequential,
  Session,
  standardPreprocessing,
  top1,
  train,
  type Backend,
} from 'plusx';

const options = new Command('demo-baseline')
  .description("logistic regression on the demo's pixels against the demo's network")
  .option('--skip-network', 'the regression alone', false)
  .showHelpAfterError('(add --help for usage)')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .parse()
  .opts<{ skipNetwork: boolean }>();
const scratch = mkdtempSync(path.join(os.tmpdir(), 'plusx-demo-baseline-'));
const data = path.join(scratch, 'data');
try {
  const { images } = await drawDemoDataset(data);
  console.log(`${images} drawn images`);
  const backend = await openBackend();
  for (const imageSize of [16, 32, 64]) {
    for (const weightDecay of [0, 1, 10, 100]) await regress(backend, imageSize, weightDecay);
  }
  await backend.dispose();
  if (!options.skipNetwork) await trainNetwork();
} finally {
  await rm(scratch, { recursive: true });
}

/** The linear model by AdamW until it no longer changes; prints its best epoch. */
async function regress(backend: Backend, imageSize: number, weightDecay: number): Promise<void> {
  const preprocessing = standardPreprocessing(imageSize);
  const [trainSet, valSet] = ['train', 'val'].map(
    (part) => new ImageFolder(path.join(data, part), preprocessing),
  );
  const model = sequential(flatten, linear(3 * imageSize ** 2, 2));
  const batchSize = 100;
  const session = await Session.create(model, backend, {
    transform: preprocessing,
    batchSize,
    optimizer: adamW({ lr: 1e-4, weightDecay }),
  });
  const kept = await collect(new DataLoader(trainSet!, { batchSize, shuffle: true }));
  const held = await collect(new DataLoader(valSet!, { batchSize }));
  let best = 0;
  let fitted = 0;
  for (let epoch = 1; epoch <= 60; epoch++) {
    let [seen, right] = [noImages, noImages];
    for (const batch of kept) {
      seen = addBatch(seen, (await session.step(batch)).logits, batch.labels);
    }
    for (const { images, labels } of held) {
      right = addBatch(right, await session.logits(images), labels);
    }
    best = Math.max(best, top1(right));
    fitted = top1(seen);
  }
  await session.dispose();
  console.log(
    `logistic regression, ${imageSize} px, weight decay ${weightDecay}: ` +
      `${percent(best)} held out, ${percent(fitted)} on its own images`,
  );
}

async function trainNetwork(): Promise<void> {
  const start = performance.now();
  const epoch = ({ epoch, valTop1 }: { epoch: number; valTop1: number }) =>
    console.log(`network, epoch ${epoch}: ${percent(valTop1)} held out`);
  await train({ ...demoRecipe, folder: data, out: path.join(scratch, 'run') }, { epoch });
  console.log(`network trained in ${((performance.now() - start) / 1000).toFixed(0)} s`);
}

async function collect<T>(batches: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
