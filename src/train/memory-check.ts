/** Whether a run fits into memory, said before it begins, with the options with which it would. */
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
 * memory, warns where more is still to come than is free; both name an `accumulate`, and the
 * precision, with which it is not. To be asked once the images are decoded, as what is kept of them
 * counts.
 */
export function forecastWithin(
  model: Module,
  backend: Backend,
  options: SessionOptions,
  warn: (event: WarningEvent) => void,
  freeBytes = freeMemory(),
): ProcessForecast {
  const forecastOf = (changed: SessionOptions) => Session.forecast(model, backend, changed);
  const forecast = forecastOf(options);
  const { memoryLimitBytes: limit, description } = backend;
  const inArena = ({ arenaBytes }: Forecast) => arenaBytes;
  const needed = inArena(forecast);
  if (needed > limit) {
    throw new PlusxError(
      'out-of-memory',
      `this run needs ${bytesText(needed)} of memory, ${description} can have ${bytesText(limit)}; ` +
        waysWithin((changed) => inArena(forecastOf(changed)), options, limit),
      { needed, limit },
    );
  }
  const toCome = stillToCome(forecast);
  if (toCome > freeBytes) {
    warn({
      code: 'memory',
      message:
        `the run needs ${bytesText(toCome)} of memory, ${bytesText(freeBytes)} are free; ` +
        waysWithin((changed) => stillToCome(forecastOf(changed)), options, freeBytes),
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

/**
 * What a run that does not fit can do: as few micro-batches as fit, maps in bfloat16 where they are
 * not, or both where neither is enough.
 */
function waysWithin(
  bytesOf: (options: SessionOptions) => number,
  options: SessionOptions,
  limit: number,
): string {
  const { batchSize, accumulate = 1, precision = 'fp32' } = options;
  const halved = { ...options, precision: 'bf16' } as const;
  const fitting = (changed: SessionOptions, flags: string): string[] => {
    const bytes = bytesOf(changed);
    return bytes <= limit ? [`with ${flags} it needs ${bytesText(bytes)}`] : [];
  };
  // Doubled until a step fits; there are as many as images at most.
  const inParts = (kept: SessionOptions, others = ''): string[] => {
    for (let parts = accumulate; parts < batchSize;) {
      parts = Math.min(2 * parts, batchSize);
      const way = fitting({ ...kept, accumulate: parts }, `--accumulate ${parts}${others}`);
      if (way.length > 0) return way;
    }
    return [];
  };
  const ways = inParts(options);
  if (precision === 'fp32') {
    ways.push(...fitting(halved, '--precision bf16'));
    if (ways.length === 0) ways.push(...inParts(halved, ' --precision bf16'));
  }
  if (ways.length > 0) return ways.join(', ');
  return 'use smaller images or a smaller model, for even image by image it needs more';
}
