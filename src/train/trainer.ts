/** The training loop: a folder of photographs in, a run folder with checkpoints out. */
import type { TrainEvents, TrainOptions, TrainSummary } from './train-options.js';

export type * from './train-options.js';

/** Trains, or goes on with, a classifier; throws PlusxError for what a user can cause. */
export function train(options: TrainOptions, events: TrainEvents = {}): Promise<TrainSummary> {
  return Promise.reject(new Error(`internal: ${options.folder} ${Object.keys(events).length}`));
}
