/** The table for people, the JSON lines for programs. Ratios only: nothing is judged here. */
import type { Measured, RowResult } from './measure.js';
import type { Row } from './rows.js';
import { fastest, pairRatios, summarize, type Summary } from './statistics.js';

export interface Machine {
  readonly cpu: string;
  readonly system: string;
  readonly node: string;
  readonly plusx: string;
  readonly pytorch: string;
  readonly onnxruntime: string;
  readonly threads: number;
  readonly date: string;
}

/** plusx's figure divided by another side's, pair by pair: below 1, plusx needs less. */
export interface Comparison {
  readonly side: Measured;
  readonly against: Measured;
  readonly ratio: Summary;
}

/** The figures of a row, one a turn; of memory there is one. */
function figures(row: Row, { seconds, peakBytes }: Measured): readonly number[] {
  return row.figure === 'memory' ? [peakBytes] : seconds;
}

/** Each engine of plusx against the best of PyTorch and against the onnxruntime of its kind. */
export function comparisons({ row, measured }: RowResult): Comparison[] {
  const values = (each: Measured) => figures(row, each);
  const pytorch = measured.filter(({ side }) => side.kind === 'pytorch');
  const best = fastest(pytorch, values);
  return measured
    .filter(({ side }) => side.kind === 'plusx')
    .flatMap((side) => {
      const runtime = side.side.name === 'wasm' ? 'onnxruntime-web' : 'onnxruntime-node';
      const peer = measured.find((each) => each.side.name === runtime);
      return [best, peer]
        .filter((against) => against !== undefined)
        .map((against) => ({ side, against, ratio: pairRatios(values(side), values(against)) }));
    });
}

export function jsonLine(result: RowResult): string {
  const { row, measured, leftOut, agreement } = result;
  return JSON.stringify({
    type: 'row',
    ...row,
    sides: measured.map((each) => ({
      side: each.side.name,
      program: each.program,
      instructionSet: each.instructionSet,
      ...(row.figure === 'seconds'
        ? { seconds: summarize(each.seconds), turns: each.seconds }
        : {}),
      peakBytes: each.peakBytes,
      startBytes: each.startBytes,
      ...(row.task === 'train' ? { losses: each.losses } : {}),
    })),
    comparisons: comparisons(result).map(({ side, against, ratio }) => ({
      side: side.side.name,
      against: against.side.name,
      ratio,
    })),
    leftOut: leftOut.map(({ side, reason }) => ({ side: side.name, reason })),
    agreement,
  });
}

export function markdown(machine: Machine, results: readonly RowResult[]): string {
  const { cpu, system, node, plusx, pytorch, onnxruntime, threads, date } = machine;
  const table = results.flatMap((result) =>
    comparisons(result).map((each) => tableRow(result.row, each)),
  );
  return [
    `${cpu}, ${system}, ${threads} ${threads === 1 ? 'thread' : 'threads'} each, ${date}: ` +
      `plusx ${plusx} on Node ${node}, ${pytorch}` +
      `${onnxruntime ? `, onnxruntime ${onnxruntime}` : ''}.`,
    'All sides take turns in one run. Figures are medians (smallest to largest); the ratio is ' +
      'plusx ÷ the other, pair by pair: below 1, plusx needs less.',
    '',
    '| what | plusx | figure | against | figure | ratio | n |',
    '|---|---|---|---|---|---|---|',
    ...table,
    '',
    ...results.flatMap(notes),
  ].join('\n');
}

function tableRow(row: Row, { side, against, ratio }: Comparison): string {
  const range = ratio.n === 1 ? '' : ` (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`;
  const cells = [
    row.title,
    `${side.side.title} (${side.instructionSet})`,
    figureText(row, side),
    against.side.title,
    figureText(row, against),
    `${ratio.median.toFixed(2)}${range}`,
    String(ratio.n),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** What the table has no room for: all of PyTorch's variants, who is left out, the agreement. */
function notes({ row, measured, leftOut, agreement }: RowResult): string[] {
  const pytorch = measured.filter(({ side }) => side.kind === 'pytorch');
  const sets = [...new Set(pytorch.map(({ instructionSet }) => instructionSet))];
  const variants = pytorch.map((each) => `${each.side.name} ${figureText(row, each)}`);
  const starts = measured.map(
    ({ side, startBytes }) => `${side.name} ${(startBytes / 1e9).toFixed(2)} GB`,
  );
  const { largestDifference, tolerance, count } = agreement;
  const compared = `${count} ${row.task === 'train' ? 'losses' : 'logits'}`;
  return [
    `- ${row.name}: PyTorch (${sets.join(', ')}): ${variants.join('; ') || 'not measured'}; ` +
      `${compared} agree within ${scientific(largestDifference)} ` +
      `(more than ${scientific(tolerance)} ends the run)`,
    ...(row.figure === 'memory'
      ? [`- ${row.name}: of these, before the first step: ${starts.join('; ')}`]
      : []),
    ...leftOut.map(({ side, reason }) => `- ${row.name}: without ${side.title}: ${reason}`),
  ];
}

/** `7.39 s (7.31 to 7.52)`, in the unit of the median. */
function figureText(row: Row, side: Measured): string {
  const { median, min, max, n } = summarize(figures(row, side));
  const { unit, scale, digits } = unitOf(row, median);
  const [middle, least, most] = [median, min, max].map((each) => (each / scale).toFixed(digits));
  return n === 1 ? `${middle} ${unit}` : `${middle} ${unit} (${least} to ${most})`;
}

function unitOf({ figure }: Row, value: number) {
  if (figure === 'seconds') {
    return value < 1 ? { unit: 'ms', scale: 1e-3, digits: 1 } : { unit: 's', scale: 1, digits: 2 };
  }
  return value < 1e9
    ? { unit: 'MB', scale: 1e6, digits: 0 }
    : { unit: 'GB', scale: 1e9, digits: 2 };
}

function scientific(value: number): string {
  return value.toExponential(1).replace('.0e', 'e');
}
