/** Weights from elsewhere, with which a run begins: as many of them as the model has, all or none. */
import { PlusxError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { loadWeights } from './checkpoint.js';
import { headPath } from './fine-tuning.js';
import type { Session } from './session.js';
import type { StateDict, StateTensor } from './state-dict.js';
import { optimizerPrefix } from './training-graph.js';
import type { WarningEvent } from './train-options.js';

/** The weights in `file`, without an optimizer's state. */
export async function readStartWeights(file: string): Promise<StateDict> {
  const state = await loadWeights(file);
  for (const key of state.keys()) if (key.startsWith(optimizerPrefix)) state.delete(key);
  return state;
}

/**
 * Gives the session's model the weights of `source`. The head keeps its drawn weights where the source
 * was made for another number of classes; any other difference is an error that names the key.
 */
export async function startFrom(
  session: Session,
  model: Module,
  weights: StateDict,
  source: string,
  warn: (event: WarningEvent) => void,
): Promise<void> {
  const own = await session.exportState();
  const start: StateDict = new Map(weights);
  const head = headPath(model);
  const [found, expected] = [weights.get(`${head}.weight`), own.get(`${head}.weight`)!];
  if (found && isForOtherClasses(found, expected)) {
    for (const key of [`${head}.weight`, `${head}.bias`]) {
      const tensor = own.get(key);
      if (tensor) start.set(key, tensor);
    }
    const [before, now] = [found.shape[0]!, expected.shape[0]!];
    warn({
      code: 'head-replaced',
      message: `head ${head}: ${before} → ${now} classes, drawn anew`,
    });
  }
  for (const [key, tensor] of own) {
    if (key.startsWith(optimizerPrefix)) start.set(key, tensor);
  }
  try {
    await session.importState(start);
  } catch (error) {
    if (!(error instanceof PlusxError)) throw error;
    throw new PlusxError(error.code, `${source}: ${error.message}`, error.details);
  }
}

/** (K, features) both, of other K. */
function isForOtherClasses(found: StateTensor, expected: StateTensor): boolean {
  return (
    found.shape.length === 2 &&
    found.shape[1] === expected.shape[1] &&
    found.shape[0] !== expected.shape[0]
  );
}
