/** Weights from elsewhere, with which a run begins: all that the model has, but for a head that does not fit. */
import { readWeights, type Weights } from '../formats/weights.js';
import type { Module } from '../nn/module.js';
import { headKeys, headPath } from './fine-tuning.js';
import {
  expectMatch,
  matchWeights,
  type ShapeMismatch,
  type WeightMatch,
} from './match-weights.js';
import type { Session } from './session.js';
import { fetchFromHub } from './hub.js';
import { hubPrefix } from './hub-name.js';
import type { TrainEvents, WarningEvent } from './train-options.js';

export interface Start {
  /** Its name; of a file on the hub with the commit. */
  readonly source: string;
  readonly weights: Weights;
}

/** The tensors of a file: safetensors, a checkpoint of plusx, a file of PyTorch, here or on the hub. */
export async function readStart(
  source: string,
  { download }: TrainEvents,
  signal: AbortSignal | undefined,
): Promise<Start> {
  if (!source.startsWith(hubPrefix)) return { source, weights: await readWeights(source) };
  const { path, name } = await fetchFromHub(source, {
    onProgress: (bytes, total) => download?.({ source, bytes, total }),
    signal,
  });
  return { source: name, weights: await readWeights(path) };
}

/**
 * Gives the session's model the weights of a file. The head keeps its drawn weights where those of the
 * file are for another number of classes; any other difference is the error `weights-mismatch`.
 */
export async function startFrom(
  session: Session,
  model: Module,
  modelText: string,
  weights: Weights,
  warn: (event: WarningEvent) => void,
): Promise<void> {
  const match = matchWeights(weights, model);
  const head = headPath(model);
  const other = match.mismatched.find(({ key }) => key === `${head}.weight`);
  const fitting = other && isForOtherClasses(other) ? withoutHead(match, headKeys(model)) : match;
  expectMatch(fitting, weights.file, modelText);
  const own = await session.exportState();
  await session.importState(new Map([...own, ...fitting.state]));
  for (const message of [...weights.notes, ...match.notes]) warn({ code: 'weights', message });
  if (other) {
    const [before, now] = [other.found[0], other.expected[0]];
    warn({
      code: 'head-replaced',
      message: `head ${head}: ${before} → ${now} classes, drawn anew`,
    });
  }
}

/** What is left to match where the head is drawn anew. */
function withoutHead(match: WeightMatch, head: ReadonlySet<string>): WeightMatch {
  return {
    ...match,
    state: new Map([...match.state].filter(([key]) => !head.has(key))),
    mismatched: match.mismatched.filter(({ key }) => !head.has(key)),
  };
}

/** (classes, features) both, with as many features. */
function isForOtherClasses({ found, expected }: ShapeMismatch): boolean {
  return found.length === 2 && found[1] === expected[1];
}
