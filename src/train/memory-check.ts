/** Whether a run fits into memory, said before it begins, with the number of micro-batches that would. */
import type { Backend } from '../backend/backend.js';
import { freeMemory } from '../backend/memory.js';
import { bytesText, PlusxError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { Session, type Forecast, type ProcessForecast, type SessionOptions } from './session.js';
import type { WarningEvent } from './train-options.js';

/** A state that is being written or read, and one before it that is not collected yet. */
const trainingCopies = 2;

/** What V8, the decoder and the engine take beside it while they work: 40 to 120 MB were measured. */
const workingBytes = 128e6;

/**
 * What a step of the run will cost. Throws `out-of-memory` where the engine cannot have so much
 * memory, warns where more is still to come than is free; both name an `accumulate` with which it
 * is not. To be asked once the images are decoded, as what is kept of them counts.
 */
export function forecastWithin(
  model: Module,
  backend: Backend,
  options: SessionOptions,
  warn: (event: WarningEvent) => void,
  freeBytes = freeMemory(),
): ProcessForecast {
  const forecast = Session.forecast(model, backend, options);
  const { memoryLimitBytes: limit, description } = backend;
  const inArena = ({ arenaBytes }: Forecast) => arenaBytes;
  const needed = inArena(forecast);
  if (needed > limit) {
    throw new PlusxError(
      'out-of-memory',
      `this run needs ${bytesText(needed)} of memory, ${description} can have ${bytesText(limit)}; ` +
        accumulateWithin(model, backend, options, inArena, limit),
      { needed, limit },
    );
  }
  const toCome = stillToCome(forecast);
  if (toCome > freeBytes) {
    warn({
      code: 'memory',
      message:
        `the run needs ${bytesText(toCome)} of memory, ${bytesText(freeBytes)} are free; ` +
        accumulateWithin(model, backend, options, stillToCome, freeBytes),
    });
  }
  return withProcess(forecast);
}

/** `copies`: of the state, beside the arena. */
export function withProcess(forecast: Forecast, copies = trainingCopies): ProcessForecast {
  const peakMemoryBytes = process.memoryUsage.rss() + stillToCome(forecast, copies);
  return { ...forecast, peakMemoryBytes };
}

function stillToCome({ arenaBytes, stateBytes }: Forecast, copies = trainingCopies): number {
  return arenaBytes + copies * stateBytes + workingBytes;
}

/** Doubles the micro-batches until a step fits; there are as many as images at most. */
function accumulateWithin(
  model: Module,
  backend: Backend,
  options: SessionOptions,
  needed: (forecast: Forecast) => number,
  limit: number,
): string {
  const { batchSize, accumulate: given = 1 } = options;
  for (let tried = given; tried < batchSize;) {
    tried = Math.min(2 * tried, batchSize);
    const bytes = needed(Session.forecast(model, backend, { ...options, accumulate: tried }));
    if (bytes <= limit) return `with --accumulate ${tried} it needs ${bytesText(bytes)}`;
  }
  return 'use smaller images or a smaller model, for even image by image it needs more';
}
