/** Reads a command line of a document as the program would, without running it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { benchCommand } from '../../src/cli/bench.js';
import { buildNativeCommand } from '../../src/cli/build-native.js';
import { demoCommand } from '../../src/cli/demo.js';
import { devicesCommand } from '../../src/cli/devices.js';
import { evalCommand } from '../../src/cli/eval.js';
import { exportCommand } from '../../src/cli/export.js';
import { importCommand } from '../../src/cli/import.js';
import { inspectCommand } from '../../src/cli/inspect.js';
import { predictCommand } from '../../src/cli/predict.js';
import { summaryCommand } from '../../src/cli/summary.js';
import { trainCommand } from '../../src/cli/train.js';
import { root } from './documents.js';

/** Made anew for each line: a command keeps the options that it has read. */
function commands(): Command[] {
  return [
    trainCommand(),
    evalCommand(),
    predictCommand(),
    devicesCommand(),
    summaryCommand(),
    inspectCommand(),
    importCommand(),
    exportCommand(),
    benchCommand(),
    buildNativeCommand(),
    demoCommand(),
  ];
}

const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

/** Throws where a line names a command, an option, a script or a file that does not exist. */
export function expectCommandLine(line: string): void {
  const [program, ...words] = line.split(/\s+/);
  if (program === 'plusx') return expectPlusx(line, words);
  if (program === 'npx') {
    assert.equal(words[0], 'plusx', line);
    return expectPlusx(line, words.slice(1));
  }
  if (program === 'npm') return expectNpm(line, words);
  const files = words.filter((word) => /\.(m?js|py)$/.test(word));
  assert.ok(files.length > 0, `${line}: no program is named`);
  for (const file of files) {
    // A build writes dist/bench/x.js from bench/x.ts.
    const source = file.replace(/^dist\/(.*)\.js$/, '$1.ts');
    assert.ok(existsSync(path.join(root, source)), `${line}: there is no ${source}`);
  }
}

function expectNpm(line: string, [first, script]: readonly string[]): void {
  if (first === 'ci' || first === 'install') return;
  const name = first === 'run' ? script : first;
  assert.ok(name !== undefined && Object.hasOwn(scripts, name), `${line}: no such script`);
}

function expectPlusx(line: string, words: readonly string[]): void {
  const [name, ...rest] = words;
  let command = commands().find((each) => each.name() === name);
  assert.ok(command, `${line}: no such command`);
  let args = rest.filter((word) => word !== '--help');
  if (command.commands.length > 0 && args.length > 0) {
    const inner = command.commands.find((each) => each.name() === args[0]);
    assert.ok(inner, `${line}: no such command`);
    command = inner;
    args = args.slice(1);
  }
  const { operands, unknown } = command.parseOptions(args);
  assert.deepEqual(unknown, [], `${line}: unknown options`);
  const most = command.registeredArguments.some(({ variadic }) => variadic)
    ? Infinity
    : command.registeredArguments.length;
  assert.ok(operands.length <= most, `${line}: ${operands.length} arguments, at most ${most}`);
}
