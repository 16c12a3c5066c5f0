/** plusx as its package describes it, and whether its command line has a precision. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

const file = createRequire(import.meta.url).resolve('plusx/package.json');

export const plusxFolder = path.dirname(file);

export const plusxPackage = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly version: string;
  readonly bin: { readonly plusx: string };
};

/** Undefined where plusx trains in this precision, else why not. */
export async function lacksPrecision(precision: 'fp32' | 'bf16'): Promise<string | undefined> {
  if (precision === 'fp32') return undefined;
  const program = path.join(plusxFolder, plusxPackage.bin.plusx);
  const help = promisify(execFile)(process.execPath, [program, 'bench', 'step', '--help']);
  if (offersPrecision((await help).stdout, precision)) return undefined;
  return `this plusx has no --precision ${precision}`;
}

/** Whether a help text has the precision in the lines of its option. */
export function offersPrecision(help: string, precision: string): boolean {
  const option = /^ +--precision\b.*(?:\n {10,}\S.*)*/m.exec(help);
  return option?.[0].includes(precision) ?? false;
}
