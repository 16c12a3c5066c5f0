import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** What metrics.jsonl of a run holds, without how long it took. */
export async function readMetrics(run: string) {
  const text = await readFile(path.join(run, 'metrics.jsonl'), 'utf8');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const parsed = JSON.parse(line) as Record<string, unknown>;
      for (const key of ['time', 'seconds', 'imagesPerSecond']) delete parsed[key];
      return parsed;
    });
}
