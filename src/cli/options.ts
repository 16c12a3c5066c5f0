/** Options as the command line writes them: parsed strictly, refused with what was expected. */
import { Option, type Command } from 'commander';
import { closest } from 'fastest-levenshtein';
import { instructionSets } from '../backend/devices.js';
import { PlusxError } from '../errors.js';
import { cifarShortcuts } from '../models/cifar-resnet.js';
import { modelNames } from '../models/registry.js';
import { stems, variants } from '../models/resnet.js';
import { precisions } from '../plan/precision.js';

/** A whole number of at least `least`. */
export function wholeOption(flags: string, description: string, least = 1): Option {
  return new Option(flags, description).argParser((text: string) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= least) return value;
    throw invalid(flags, `a whole number of at least ${least}`, text);
  });
}

/** A number from `low` on, below `high`. */
export function numberOption(flags: string, description: string, low = 0, high = Infinity): Option {
  return new Option(flags, description).argParser((text: string) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value) && value >= low && value < high) return value;
    const range = high === Infinity ? `of at least ${low}` : `from ${low} to below ${high}`;
    throw invalid(flags, `a number ${range}`, text);
  });
}

/** Three numbers, one for each channel. */
export function channelsOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => {
    const values = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
    if (values.length === 3 && values.every(Number.isFinite)) return values;
    throw invalid(flags, 'three numbers separated by commas', text);
  });
}

/** One of several words. */
export function choiceOption(
  flags: string,
  description: string,
  choices: readonly string[],
): Option {
  return new Option(flags, `${description} (${choices.join(', ')})`).argParser((text: string) => {
    if (choices.includes(text)) return text;
    const wanted = `one of ${choices.join(', ')}`;
    throw invalid(flags, wanted, `${text}"; did you mean "${closest(text, [...choices])}`);
  });
}

function invalid(flags: string, expected: string, text: string): PlusxError {
  const name = flags.split(/[ ,]/)[0];
  return new PlusxError('usage', `${name}: expected ${expected}, got "${text}"`);
}

export const jsonOption = () =>
  new Option('--json', 'print one JSON object a line on stdout, everything else on stderr');

export const modelOption = () =>
  choiceOption('--model <name>', 'network; default resnet18', modelNames);

/** Adds what can be chosen of a network beside its name; `stem` is the default of that option. */
export function addNetworkOptions(command: Command, stem = "the network's own, conv7x7"): Command {
  return command
    .addOption(choiceOption('--stem <name>', `first layers of a ResNet; default ${stem}`, stems))
    .addOption(
      choiceOption('--variant <name>', 'of a ResNet: d for its stem and shortcuts', variants),
    )
    .addOption(choiceOption('--shortcut <A|B>', "of CIFAR's ResNets; default A", cifarShortcuts))
    .option('--zero-init-residual', 'let the blocks of a ResNet start as the identity')
    .option('--squeeze-excitation', 'let the blocks of a ResNet weigh their channels')
    .addOption(numberOption('--dropout <share>', 'of AlexNet and VGG; default 0.5', 0, 1));
}

export const precisionOption = () =>
  choiceOption(
    '--precision <name>',
    'in which training stores what lies between layers; bf16 halves it; default fp32',
    precisions,
  );

export const deviceOption = () =>
  choiceOption('--device <name>', 'engine to run on; default auto', [
    'auto',
    'native',
    'wasm',
    'reference',
  ]);

export const threadsOption = () =>
  wholeOption('--threads <n>', 'processors to use; default all of them');

export const instructionSetOption = () =>
  choiceOption(
    '--instruction-set <name>',
    'of the native engine; default the best there is',
    instructionSets,
  );

export const exifOption = (standard: string) =>
  choiceOption('--exif <policy>', `whether to turn images as EXIF says; default ${standard}`, [
    'honour',
    'ignore',
  ]);
