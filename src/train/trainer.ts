/** The training loop: a folder of photographs in, a run folder with checkpoints out. */
import { measure } from './measure.js';
import { prepareRun } from './prepare.js';
import type { TrainEvents, TrainOptions, TrainSummary } from './train-options.js';
import type { TrainingRun } from './training-run.js';

export type * from './train-options.js';

/**
 * Trains a classifier, or goes on with one (`resume`), and returns when all epochs are done or
 * `signal` is aborted. Throws PlusxError for what a user can cause; the run folder then holds the
 * last good checkpoint.
 */
export async function train(
  options: TrainOptions,
  events: TrainEvents = {},
): Promise<TrainSummary> {
  const run = await prepareRun(options, events);
  try {
    return await trainEpochs(run, events, options.signal);
  } finally {
    await run.close();
  }
}

async function trainEpochs(
  run: TrainingRun,
  events: TrainEvents,
  signal: AbortSignal | undefined,
): Promise<TrainSummary> {
  const { session, loader, valLoader, classes, config } = run.parts;
  while (run.progress.epoch < config.epochs) {
    const { epoch, batch: startBatch } = run.progress;
    for await (const batch of loader.epoch(epoch, { startBatch })) {
      if (signal?.aborted) return run.interrupt();
      const lr = run.learningRate;
      const result = await session.step(batch, { lr });
      await run.afterStep(batch, result, lr);
    }
    const validation = await measure(session, valLoader, classes.length, {
      onProgress: (images, total) => events.validation?.({ epoch: epoch + 1, images, total }),
      signal,
    });
    if (!validation) return run.interrupt();
    await run.afterEpoch(validation);
  }
  return run.summarise('finished');
}
