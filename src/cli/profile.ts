/** How `plusx bench step --profile` shows a profile. */
import { networkText } from '../models/options.js';
import type { StepFigures } from '../train/profile.js';
import type { StepProfile } from '../train/profile-step.js';
import { flopsText, precisionText, table, type Output } from './output.js';

/** Records for programs: `roofline`, a `profile` for each step, `total`. Tables for people. */
export function showProfile(output: Output, profile: StepProfile): void {
  const { peaks, total, groups, steps, ...run } = profile;
  output.record({ type: 'roofline', ...peaks });
  for (const step of steps) output.record({ type: 'profile', ...step });
  output.record({ type: 'total', ...run, ...total });

  output.print(
    `${networkText(run)}, ${run.imageSize} px, batch ${run.batchSize}, ` +
      `${run.device} ${run.instructionSet}, ${run.threads} threads` +
      `${precisionText(run.precision)}:\n` +
      `${run.secondsPerStep.toFixed(3)} s a step, ${total.seconds.toFixed(3)} s of it in the ` +
      `${steps.length} steps of its plan (medians, n = ${run.runs})\n` +
      `${flopsText(total.flops)} at ${giga(total.flopsPerSecond, 0)} GFLOP/s, ` +
      `${hundredths(total.roofline)} % of the roofline\n` +
      `roofline, measured: ${giga(peaks.flopsPerSecond, 0)} GFLOP/s, ` +
      `${giga(peaks.bytesPerSecond, 0)} GB/s\n`,
  );
  output.print(
    table(
      ['kind', 'algorithm', 'steps', ...figureNames],
      groups.map((group) => [
        group.kind,
        group.algorithm ?? '',
        String(group.count),
        ...figureCells(group),
      ]),
    ),
  );
  output.print('');
  output.print(
    table(
      ['step', 'kind', 'algorithm', 'output', ...figureNames, 'limit', 'path'],
      steps.map((step) => [
        String(step.index),
        step.kind,
        step.algorithm ?? '',
        step.shape.join('×'),
        ...figureCells(step),
        step.limit,
        step.path,
      ]),
    ),
  );
}

const figureNames = ['ms', 'time %', 'GFLOP/s', 'GB/s', 'roofline %'];

function figureCells(figures: StepFigures): string[] {
  return [
    milliseconds(figures),
    hundredths(figures.share),
    figures.flops === 0 ? '' : giga(figures.flopsPerSecond, 1),
    giga(figures.bytesPerSecond, 1),
    hundredths(figures.roofline),
  ];
}

const milliseconds = ({ seconds }: StepFigures) => (1000 * seconds).toFixed(3);
const giga = (value: number, digits: number) => (value / 1e9).toFixed(digits);
const hundredths = (share: number) => (100 * share).toFixed(1);
