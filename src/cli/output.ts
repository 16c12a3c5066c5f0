/**
 * Where words go: with `--json` one object a line on stdout, everything else on stderr; without it
 * results on stdout and progress on stderr.
 */
import type { Precision } from '../plan/precision.js';

export class Output {
  constructor(readonly json: boolean) {}

  /** A machine-readable record; nothing without `--json`. */
  record(object: Readonly<Record<string, unknown>>): void {
    if (this.json) process.stdout.write(`${JSON.stringify(object)}\n`);
  }

  /** A result for a person. */
  print(text: string): void {
    (this.json ? process.stderr : process.stdout).write(`${printable(text)}\n`);
  }

  /** A notice beside the results. */
  notice(text: string): void {
    process.stderr.write(`${printable(text)}\n`);
  }
}

/** Text without control characters, which names in files may hold to mislead a terminal. */
export function printable(text: string): string {
  return text.replace(
    /[\0-\x08\x0b-\x1f\x7f-\x9f]/g,
    (letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)));
  const numeric = header.map((_, i) => rows.every((row) => /^[-\d.,%]*$/.test(row[i] ?? '')));
  return all
    .map((row) =>
      row
        .map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

export const whole = (value: number) => Math.round(value).toLocaleString('en-US');

/** Follows the engine that computes in it; that it is fp32 goes without saying. */
export const precisionText = (precision: Precision) =>
  precision === 'fp32' ? '' : `, ${precision}`;

/** Operations as people say them: `1.31 TFLOP`. */
export function flopsText(flops: number): string {
  if (flops >= 1e12) return `${(flops / 1e12).toFixed(2)} TFLOP`;
  return `${(flops / 1e9).toFixed(1)} GFLOP`;
}

/** Seconds as people say them: `2 h 05 min`, `3 min 20 s`, `14 s`. */
export function durationText(seconds: number): string {
  const total = Math.round(seconds);
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  if (hours > 0) return `${hours} h ${String(minutes).padStart(2, '0')} min`;
  return minutes > 0 ? `${minutes} min ${String(total % 60).padStart(2, '0')} s` : `${total} s`;
}
