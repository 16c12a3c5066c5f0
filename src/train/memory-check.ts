/** Whether a run fits into memory, said before it begins, with the number of micro-batches that would. */
import type { Backend } from '../backend/backend.js';
import { freeMemory } from '../backend/memory.js';
import { PlusxError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { Session, type Forecast, type SessionOptions } from './session.js';
import type { WarningEvent } from './train-options.js';

/**
 * What a step of the run will cost. Throws `out-of-memory` where the engine cannot have so much
 * memory, warns where it is more than is free; both name an `accumulate` with which it is not.
 */
export function forecastWithin(
  model: Module,
  backend: Backend,
  options: SessionOptions,
  warn: (event: WarningEvent) => void,
  freeBytes = freeMemory(),
): Forecast {
  const forecast = Session.forecast(model, backend, options);
  const needed = forecast.peakMemoryBytes;
  const advice = (limit: number) => accumulateWithin(model, backend, options, limit);
  if (needed > backend.memoryLimitBytes) {
    throw new PlusxError(
      'out-of-memory',
      `this run needs ${text(needed)} of memory, ${backend.description} can have ` +
        `${text(backend.memoryLimitBytes)}; ${advice(backend.memoryLimitBytes)}`,
      { needed, limit: backend.memoryLimitBytes },
    );
  }
  if (needed > freeBytes) {
    warn({
      code: 'memory',
      message:
        `the run needs ${text(needed)} of memory, ${text(freeBytes)} are free; ` +
        advice(freeBytes),
    });
  }
  return forecast;
}

/** Doubles the micro-batches until a step fits; there are as many as images at most. */
function accumulateWithin(
  model: Module,
  backend: Backend,
  options: SessionOptions,
  limit: number,
): string {
  const { batchSize, accumulate: given = 1 } = options;
  for (let tried = given; tried < batchSize;) {
    tried = Math.min(2 * tried, batchSize);
    const attempt = { ...options, accumulate: tried };
    const { peakMemoryBytes } = Session.forecast(model, backend, attempt);
    if (peakMemoryBytes <= limit) {
      return `with --accumulate ${tried} it needs ${text(peakMemoryBytes)}`;
    }
  }
  return 'use smaller images or a smaller model, for even image by image it needs more';
}

const text = (bytes: number) =>
  bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
