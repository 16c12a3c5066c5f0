/** The options of `gradient-error.js`, parsed strictly. */
import { Command } from 'commander';
import type { DeviceChoice } from 'plusx';
import { whole } from './options.js';

export interface GradientOptions {
  readonly imageSize: number;
  readonly batchSize: number;
  /** With the same weights. */
  readonly batches: number;
  /** Of training, before the second comparison. */
  readonly steps: number;
  /** Each from a seed of its own. */
  readonly networks: number;
  readonly device: DeviceChoice;
  /** A Python interpreter that has PyTorch. Default: an environment of the benchmarks' own. */
  readonly python?: string;
  readonly json: boolean;
}

/** Throws PlusxError or CommanderError where an option is wrong, CommanderError after `--help`. */
export function parseGradientOptions(args: readonly string[]): GradientOptions {
  return new Command('gradient-error')
    .description("how much the gradients of plusx and of PyTorch's float32 err, against float64")
    .option('--image-size <px>', 'edge of the images', whole('--image-size'), 64)
    .option('--batch-size <n>', 'images a batch', whole('--batch-size'), 8)
    .option('--batches <n>', 'compared with the same weights', whole('--batches'), 9)
    .option('--steps <n>', 'of training before the second comparison', whole('--steps'), 200)
    .option('--networks <n>', 'each from a seed of its own', whole('--networks'), 1)
    .option('--device <name>', 'of plusx', 'native')
    .option('--python <path>', 'an interpreter that has torch')
    .option('--json', 'print one JSON object a comparison on stdout', false)
    .showHelpAfterError('(add --help for usage)')
    .exitOverride()
    .parse(args, { from: 'user' })
    .opts();
}
