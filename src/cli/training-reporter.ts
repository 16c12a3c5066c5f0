/** Shows a training run while it goes on: a bar, a line an epoch, records for machines. */
import type { StepEvent, TrainEvents } from '../train/trainer.js';
import { durationText, percent, type Output } from './output.js';
import { startProgress, type Progress } from './progress.js';
import { startText } from './train.js';

/** Step records of a `--json` stream are at least this far apart. */
const secondsBetweenRecords = 1;

export interface TrainingReporter {
  readonly events: TrainEvents;
  /** Takes the bar away so that words can be printed. */
  pause(): void;
}

export function trainingReporter(output: Output): TrainingReporter {
  let progress: Progress | undefined;
  let label = '';
  let lastRecord = -Infinity;
  const pause = () => {
    progress?.stop();
    progress = undefined;
  };
  const show = (what: string, done: number, total: number, text: string) => {
    if (what !== label) pause();
    label = what;
    progress ??= startProgress(what);
    progress.update(done, total, text);
  };
  return {
    pause,
    events: {
      download: ({ bytes, total }) => {
        show('downloading', Math.ceil(bytes / 1e6), Math.ceil(total / 1e6), 'MB');
      },
      check: ({ images, total }) => show('checking images', images, total, ''),
      start: (event) => {
        pause();
        output.record({ type: 'start', ...event });
        output.notice(startText(event));
      },
      step: (event) => {
        show(`epoch ${event.epoch}/${event.epochs}`, event.step, event.steps, stepText(event));
        const now = performance.now();
        if (now - lastRecord < secondsBetweenRecords * 1000 && event.step < event.steps) return;
        lastRecord = now;
        output.record({ type: 'step', ...event });
      },
      validation: ({ images, total }) => show('validating', images, total, ''),
      epoch: (event) => {
        pause();
        output.record({ type: 'epoch', ...event });
        const held =
          event.valLoss === null || event.valTop1 === null
            ? 'no image held out'
            : `validation loss ${event.valLoss.toFixed(4)}, accuracy ${percent(event.valTop1)}`;
        output.notice(
          `epoch ${event.epoch}/${event.epochs}: training loss ${event.trainLoss.toFixed(4)}, ` +
            `accuracy ${percent(event.trainTop1)}; ${held}${event.best ? ' (best)' : ''}; ` +
            durationText(event.seconds),
        );
      },
      warning: ({ code, message }) => {
        pause();
        output.record({ type: 'warning', code, message });
        output.notice(message);
      },
    },
  };
}

function stepText(event: StepEvent): string {
  return (
    `loss ${event.runningLoss.toFixed(4)}  accuracy ${percent(event.runningTop1)}  ` +
    `${event.imagesPerSecond.toFixed(1)} images/s  ${durationText(event.remainingSeconds)} left`
  );
}
