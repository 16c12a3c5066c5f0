/** The options of `npm run bench:pytorch`, parsed strictly. */
import { Command, CommanderError } from 'commander';
import { closest } from 'fastest-levenshtein';
import { PlusxError } from 'plusx';
import { PeerFailure } from './peer.js';
import { rows, sides, type Row, type Side } from './rows.js';
import { Disagreement } from './verify.js';

export interface BenchOptions {
  readonly rows: readonly Row[];
  readonly sides: readonly Side[];
  /** Of every side. */
  readonly threads: number;
  /** Steps before the timed ones; their losses are compared. */
  readonly warmup: number;
  /** A Python interpreter that has PyTorch and torchvision. Default: an environment of our own. */
  readonly python: string | undefined;
  readonly json: boolean;
}

interface Given {
  readonly rows?: readonly Row[];
  readonly sides?: readonly Side[];
  readonly threads?: number;
  readonly rounds?: number;
  readonly steps?: number;
  readonly warmup?: number;
  readonly python?: string;
  readonly quick?: boolean;
  readonly json?: boolean;
}

/** What `--quick` runs: less than two minutes on two processors, once everything is installed. */
const quickRows = ['train-article-64', 'infer-1'];
const quickRounds = 2;
const quickWithout = ['eager', 'compile'];

/** Throws PlusxError or CommanderError where an option is wrong, CommanderError after `--help`. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const command = new Command('bench:pytorch')
    .usage('-- [options]')
    .description('plusx and PyTorch in turns on this machine: verified first, then timed')
    .option('--rows <names>', `default all: ${names(rows)}`, listOf('--rows', rows))
    .option('--sides <names>', `default all: ${names(sides)}`, listOf('--sides', sides))
    .option('--threads <n>', 'of every side; default 2', whole('--threads'))
    .option('--rounds <n>', 'turns of every side; default 3 to 7, by row', whole('--rounds'))
    .option('--steps <n>', 'steps a turn; default 1, 20 for a batch of 1', whole('--steps'))
    .option('--warmup <n>', 'steps before, whose losses are compared; default 2', whole('--warmup'))
    .option('--python <path>', 'an interpreter that has torch and torchvision')
    .option(
      '--quick',
      `${quickRows.join(' and ')}, ${quickRounds} rounds, of PyTorch channels-last alone`,
    )
    .option('--json', 'print one JSON object a line on stdout, everything else on stderr')
    .showHelpAfterError('(add --help for usage and examples)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ npm run bench:pytorch -- --quick\n' +
        '  $ npm run bench:pytorch -- --rows train-article-64,infer-32 --rounds 9\n',
    )
    .exitOverride()
    .parse(args, { from: 'user' });
  return complete(command.opts());
}

/** The exit code for what was thrown, after words on stderr. */
export function reportError(error: unknown, command = 'bench:pytorch'): number {
  // Commander has explained itself.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const say = (line: string) => process.stderr.write(`${command}: ${line}\n`);
  if (error instanceof PlusxError) {
    say(error.message);
    return 2;
  }
  if (error instanceof Disagreement) say(`${error.message}; what differs is not timed`);
  else if (error instanceof PeerFailure) say(error.message);
  else say(String((error as Error).stack));
  return 1;
}

function complete({ quick = false, ...given }: Given): BenchOptions {
  const chosen = given.rows ?? rows.filter(({ name }) => !quick || quickRows.includes(name));
  const rounds = given.rounds ?? (quick ? quickRounds : undefined);
  return {
    rows: chosen.map((row) => ({
      ...row,
      // Where memory is the figure, the steps of the warm-up are enough.
      rounds: row.figure === 'memory' ? 0 : (rounds ?? row.rounds),
      steps: given.steps ?? row.steps,
    })),
    sides: given.sides ?? sides.filter(({ name }) => !quick || !quickWithout.includes(name)),
    threads: given.threads ?? 2,
    warmup: given.warmup ?? 2,
    python: given.python,
    json: given.json ?? false,
  };
}

function names(known: readonly { readonly name: string }[]): string {
  return known.map(({ name }) => name).join(', ');
}

/** `a,b` as the entries of `known` with these names, in the order of `known`. */
function listOf<T extends { readonly name: string }>(option: string, known: readonly T[]) {
  return (text: string): readonly T[] => {
    const wanted = text.split(',').map((word) => word.trim());
    for (const word of wanted) {
      if (known.some(({ name }) => name === word)) continue;
      const all = known.map(({ name }) => name);
      throw new PlusxError(
        'usage',
        `${option}: "${word}" is not known; did you mean "${closest(word, all)}"? ` +
          `Known: ${all.join(', ')}`,
      );
    }
    return known.filter(({ name }) => wanted.includes(name));
  };
}

/** Parses a whole number of at least 1. */
export function whole(option: string) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= 1) return value;
    throw new PlusxError(
      'usage',
      `${option}: expected a whole number of at least 1, got "${text}"`,
    );
  };
}
