/**
 * plusx and PyTorch in turns on the same machine: the same weights, images and threads; verified
 * first, then timed. PyTorch counts with the best of eager, channels_last and torch.compile, and is
 * spared the normalising of the images, which plusx does in every step.
 *
 *     npm run bench:pytorch -- --help
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cacheFolder } from 'plusx';
import { Data } from './data.js';
import { measureRow, type RowResult } from './measure.js';
import { Onnxruntime, onnxruntimeVersion } from './onnxruntime.js';
import { parseOptions, reportError, type BenchOptions } from './options.js';
import { plusxFolder, plusxPackage } from './plusx-package.js';
import { findPython } from './python.js';
import { jsonLine, markdown, type Machine } from './report.js';
import { workload } from './rows.js';
import type { Tools } from './sides.js';

const log = (line: string) => process.stderr.write(`${line}\n`);

try {
  await bench(parseOptions(process.argv.slice(2)));
} catch (error) {
  process.exitCode = reportError(error);
}

async function bench(options: BenchOptions): Promise<void> {
  const cache = path.join(cacheFolder(), 'pytorch');
  const scripts = path.join(plusxFolder, 'bench/pytorch');
  const python = await findPython(options.python, cache, log);
  const { threads } = options;
  const data = new Data(temporaryFolder());
  const onnxruntime = new Onnxruntime(cache, python, scripts, log);
  const tools = { python, scripts, cache, threads, data, onnxruntime };
  const results = await measureAll(options, tools);
  const machine = machineOf(results, threads);
  if (options.json) console.log(JSON.stringify({ type: 'machine', ...machine }));
  else console.log(markdown(machine, results));
}

/** Gone when this process ends, by Ctrl-C too. */
function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'plusx-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  return folder;
}

/** Rows that are the same work told by another figure are measured once. */
async function measureAll(options: BenchOptions, tools: Tools): Promise<RowResult[]> {
  const results: RowResult[] = [];
  for (const row of options.rows) {
    const same = results.find((each) => workload(each.row) === workload(row));
    const result =
      row.figure === 'memory' && same
        ? { ...same, row }
        : await measureRow(row, options.sides, options.warmup, tools, log);
    results.push(result);
    if (options.json) console.log(jsonLine(result));
  }
  return results;
}

function machineOf(results: readonly RowResult[], threads: number): Machine {
  const measured = results.flatMap((result) => result.measured);
  const pytorch = measured.find(({ side }) => side.kind === 'pytorch');
  const onnxruntime = measured.some(({ side }) => side.kind === 'onnxruntime');
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown processor',
    system: `${os.type()} ${process.arch}`,
    node: process.versions.node,
    plusx: plusxPackage.version,
    pytorch: pytorch?.program ?? 'no PyTorch',
    onnxruntime: onnxruntime ? onnxruntimeVersion : '',
    threads,
    date: new Date().toISOString().slice(0, 10),
  };
}
