/** `plusx bench step`: how fast a training step is on this machine. */
import { Command } from 'commander';
import { modelNames } from '../models/registry.js';
import { stems } from '../models/resnet.js';
import { benchStep, type BenchStepOptions } from '../train/bench-step.js';
import { choiceOption, deviceOption, jsonOption, threadsOption, wholeOption } from './options.js';
import { bytesText, Output } from './output.js';
import { startProgress } from './progress.js';

export const benchCommand = () =>
  new Command('bench').description('measure the engine').addCommand(stepCommand());

const stepCommand = () =>
  new Command('step')
    .description('time a training step after warm-up, on images made up in memory')
    .addOption(choiceOption('--model <name>', 'network; default resnet18', modelNames))
    .addOption(choiceOption('--stem <name>', 'first layers; default conv3x3', stems))
    .addOption(wholeOption('--image-size <pixels>', 'side of the images; default 64'))
    .addOption(wholeOption('--batch-size <n>', 'images a step; default 8'))
    .addOption(wholeOption('--steps <n>', 'steps to time; default 10'))
    .addOption(wholeOption('--warmup <n>', 'steps before; default 3', 0))
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx bench step --image-size 64 --batch-size 8\n' +
        '  $ plusx bench step --device wasm --threads 1 --json\n',
    )
    .action(async ({ json = false, ...options }: BenchStepOptions & { json?: boolean }) => {
      const output = new Output(json);
      const progress = startProgress('steps');
      const timing = await benchStep({
        ...options,
        onNotice: (line) => output.notice(line),
        onProgress: (done, total) => progress.update(done, total, ''),
      }).finally(() => progress.stop());
      output.record({ ...timing });
      const { median, min, max } = timing.secondsPerStep;
      output.print(
        `${timing.model} (${timing.stem}), ${timing.imageSize} px, batch ${timing.batchSize}, ` +
          `${timing.device} ${timing.instructionSet}, ${timing.threads} threads:\n` +
          `${median.toFixed(3)} s a step (${min.toFixed(3)} to ${max.toFixed(3)}, ` +
          `n = ${timing.steps}), ${timing.imagesPerSecond.toFixed(1)} images/s, ` +
          `${(timing.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s, ` +
          `peak memory ${bytesText(timing.peakMemoryBytes)}`,
      );
    });
