#!/usr/bin/env node
/**
 * The command line. Exit codes: 0 done, 1 our mistake, 2 what the user can mend. It only calls what
 * the library exports; commands are loaded when they are asked for.
 */
import { Command, CommanderError } from 'commander';
import { PlusxError } from '../errors.js';
import { packageRoot } from '../package-root.js';
import { printable } from './output.js';

/** Each command's module is read only when it is needed: `--help` stays quick. */
async function commands(): Promise<Command[]> {
  const modules = await Promise.all([
    import('./train.js').then((module) => module.trainCommand()),
    import('./eval.js').then((module) => module.evalCommand()),
    import('./predict.js').then((module) => module.predictCommand()),
    import('./devices.js').then((module) => module.devicesCommand()),
    import('./summary.js').then((module) => module.summaryCommand()),
    import('./inspect.js').then((module) => module.inspectCommand()),
    import('./import.js').then((module) => module.importCommand()),
    import('./bench.js').then((module) => module.benchCommand()),
    import('./build-native.js').then((module) => module.buildNativeCommand()),
    import('./demo.js').then((module) => module.demoCommand()),
  ]);
  return modules;
}

async function main(): Promise<void> {
  const program = new Command('plusx')
    .description('Train and use residual networks: H(x) = F(x) + x')
    .version(packageRoot().version)
    .showHelpAfterError('(add --help for usage and examples)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx demo\n  $ plusx train ./photos --epochs 20\n' +
        '  $ plusx predict runs/<run>/best.safetensors photo.jpg\n',
    );
  for (const command of await commands()) program.addCommand(command);
  exitThroughErrors(program);
  await program.parseAsync();
}

/** Lets commander throw instead of exiting, in every subcommand. */
function exitThroughErrors(command: Command): void {
  command.exitOverride();
  command.commands.forEach(exitThroughErrors);
}

/** The exit code for what was thrown, after words on stderr. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Help and version are answers; all else is wrong usage, which commander has explained.
    return error.exitCode === 0 ? 0 : 2;
  }
  if (error instanceof PlusxError) {
    process.stderr.write(`plusx: ${printable(error.message)}\n`);
    return 2;
  }
  process.stderr.write(`plusx: internal error, please report it\n${(error as Error).stack}\n`);
  return 1;
}

// A reader that has seen enough (`plusx summary | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await main();
} catch (error) {
  process.exitCode = report(error);
}
