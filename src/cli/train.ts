/** `plusx train`: from a folder of labelled photographs to a classifier. */
import { Command } from 'commander';
import { bytesText } from '../errors.js';
import { networkText } from '../models/options.js';
import { freezeChoices } from '../train/fine-tuning.js';
import { train, type StartEvent, type TrainOptions } from '../train/trainer.js';
import * as options from './options.js';
import { durationText, flopsText, Output, precisionText, whole } from './output.js';
import { trainingReporter } from './training-reporter.js';

export const trainCommand = () =>
  options
    .addNetworkOptions(
      new Command('train')
        .description('train a classifier on a folder of labelled photographs')
        .argument(
          '[folder]',
          '<class>/… or train/<class>/… with val/ or test/, or cifar10:<folder>',
        )
        .addOption(options.modelOption()),
    )
    .addOption(
      options.wholeOption(
        '--image-size <pixels>',
        "side S: Resize(S·256/224), CenterCrop(S); default 224, 32 of CIFAR's networks",
      ),
    )
    .addOption(options.wholeOption('--epochs <n>', 'passes over the images; default 10'))
    .addOption(options.wholeOption('--batch-size <n>', 'images a step; default 8'))
    .addOption(options.numberOption('--lr <rate>', 'learning rate; default 0.01, adamw 0.001'))
    .addOption(options.numberOption('--momentum <share>', 'of sgd; default 0', 0, 1))
    .addOption(options.numberOption('--weight-decay <rate>', 'default 0, adamw 0.01'))
    .addOption(options.choiceOption('--optimizer <name>', 'default sgd', ['sgd', 'adamw']))
    .addOption(
      options.choiceOption('--schedule <name>', 'of the learning rate; default constant', [
        'constant',
        'cosine',
      ]),
    )
    .addOption(options.numberOption('--warmup-epochs <n>', 'epochs of rising rate; default 0'))
    .option(
      '--weights <file>',
      'start from them: safetensors, checkpoint, .pth, or hf:<owner>/<repository> on the hub',
    )
    .addOption(
      options.choiceOption(
        '--freeze <part>',
        'keep it and all before it as it is; backbone: all but the head; default none',
        freezeChoices,
      ),
    )
    .addOption(options.numberOption('--head-lr <rate>', 'of the last layer; default as --lr'))
    .option('--freeze-statistics', 'batch-norms use and keep their running statistics')
    .addOption(
      options.wholeOption(
        '--accumulate <n>',
        'compute a step in n parts, for less memory; batch-norms see a part at a time; default 1',
      ),
    )
    .addOption(options.precisionOption())
    .addOption(options.wholeOption('--seed <n>', 'of weights, order and split; default 0', 0))
    .addOption(options.deviceOption())
    .addOption(options.threadsOption())
    .addOption(options.instructionSetOption())
    .option('--out <folder>', 'run folder; default runs/<date-time>')
    .option('--resume [run]', 'go on with the run in <run>, or in --out')
    .addOption(options.wholeOption('--checkpoint-every <steps>', 'default 100'))
    .addOption(
      options.numberOption(
        '--val-split <share>',
        'held out where there is no val/; default 0.1',
        0,
        1,
      ),
    )
    .option('--skip-bad', 'go on without images that cannot be read')
    .addOption(options.exifOption('honour (torchvision ignores it)'))
    .addOption(options.jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx train ./photos --epochs 20\n' +
        '  $ plusx train ./photos --stem conv3x3 --image-size 64 --batch-size 32 --schedule cosine\n' +
        '  $ plusx train ./photos --weights resnet18.safetensors --freeze layer2 --head-lr 0.1\n' +
        '  $ plusx train --resume runs/2026-01-31-120000\n',
    )
    .action(trainAction);

type Options = Omit<TrainOptions, 'folder' | 'signal'> & { readonly json?: boolean };

async function trainAction(folder: string | undefined, { json = false, ...given }: Options) {
  await runTraining({ ...given, folder }, new Output(json));
}

/** Trains with a report on the terminal and a first Ctrl-C that saves; returns the summary. */
export async function runTraining(given: TrainOptions, output: Output) {
  const interrupt = new AbortController();
  const reporter = trainingReporter(output);
  const onInterrupt = () => {
    reporter.pause();
    output.notice('saving after this step; Ctrl-C again stops at once');
    interrupt.abort();
    process.once('SIGINT', () => process.exit(130));
  };
  process.once('SIGINT', onInterrupt);
  try {
    const summary = await train({ ...given, signal: interrupt.signal }, reporter.events);
    reporter.pause();
    output.record({ type: 'summary', ...summary });
    if (summary.resume) {
      output.print(`saved ${summary.last}; to continue:\n  ${summary.resume.command}`);
    } else {
      output.print(savedText(summary.run, summary.best ?? summary.last));
    }
    return summary;
  } finally {
    reporter.pause();
    process.removeListener('SIGINT', onInterrupt);
  }
}

function savedText(run: string, checkpoint: string): string {
  return [
    `saved in ${run}`,
    'next:',
    `  plusx eval ${checkpoint} <folder>     accuracy on other labelled images`,
    `  plusx predict ${checkpoint} <image…>  what is on a photograph`,
  ].join('\n');
}

/** What a run is going to be, before it starts. */
export function startText(event: StartEvent): string {
  const images = event.classes.map((name, i) => {
    return `${name} ${event.trainImagesPerClass[i]}+${event.valImagesPerClass[i]}`;
  });
  const all = event.trainedParameters === event.parameters;
  const trained = all ? '' : `, ${whole(event.trainedParameters)} of them trained`;
  const { accumulate, precision } = event.config;
  const parts = accumulate > 1 ? ` in ${accumulate} parts` : '';
  return [
    `model    ${networkText(event.config)}, ${whole(event.parameters)} parameters${trained}`,
    `images   ${images.join(', ')} (training+validation), ${event.imageSize} px`,
    `step     ${flopsText(event.flopsPerStep)}, batch ${event.batchSize}${parts}, ` +
      `${event.stepsPerEpoch} steps an epoch, ${event.epochs} epochs`,
    `memory   ${bytesText(event.peakMemoryBytes)} at most, ${bytesText(event.arenaBytes)} of it tensors`,
    `device   ${event.deviceDescription}${precisionText(precision)}`,
    `time     about ${durationText(event.estimatedSeconds)}`,
    `run      ${event.run}`,
    ...(event.resumedAtStep > 0 ? [`resumed  after step ${event.resumedAtStep}`] : []),
  ].join('\n');
}
