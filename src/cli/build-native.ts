/** `plusx build-native`: builds the C++ engine with this machine's compiler. */
import { Command } from 'commander';
import { buildNative } from '../backend/native/index.js';
import { jsonOption } from './options.js';
import { Output } from './output.js';

export const buildNativeCommand = () =>
  new Command('build-native')
    .description('build the C++ engine with the C++ compiler of this machine, and check it')
    .option('--force', 'build again where it is built already')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nThe engine goes into $PLUSX_CACHE, else the cache folder of the user.\n' +
        '\nExamples:\n  $ plusx build-native\n  $ CXX=clang++ plusx build-native --force\n',
    )
    .action(async ({ force = false, json = false }: { force?: boolean; json?: boolean }) => {
      const output = new Output(json);
      const result = await buildNative({ force, log: (line) => output.notice(line) });
      output.record({ ...result });
      output.print(`${result.path} (${result.instructionSets.join(', ')})`);
    });
