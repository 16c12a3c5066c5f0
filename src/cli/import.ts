/** `plusx import`: a checkpoint from weights that another program trained. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { PlusxError } from '../errors.js';
import { modelNames } from '../models/registry.js';
import { importWeights, type ImportOptions } from '../train/import-weights.js';
import * as options from './options.js';
import { Output, whole } from './output.js';

interface Given extends Omit<ImportOptions, 'classNames'> {
  readonly classNames?: string;
  readonly out: string;
  readonly json?: boolean;
}

export const importCommand = () =>
  options
    .addNetworkOptions(
      new Command('import')
        .description('make a checkpoint of weights from elsewhere; nothing in them is executed')
        .argument('<file>', "a .safetensors file, or PyTorch's .pth, .pt or .th")
        .addOption(
          options
            .choiceOption('--model <name>', 'the network that they are of', modelNames)
            .makeOptionMandatory(),
        ),
    )
    .addOption(options.wholeOption('--classes <n>', "default 1000, 10 of CIFAR's networks"))
    .option(
      '--class-names <names>',
      'in order, a,b,c or a text file with one a line; default 0,1,…',
    )
    .addOption(options.wholeOption('--image-size <pixels>', "default 224, 32 of CIFAR's networks"))
    .addOption(
      options.wholeOption(
        '--resize <pixels>',
        "shorter side before the crop; default 256/224 of the image size, for CIFAR's networks " +
          'the image size',
      ),
    )
    .addOption(options.channelsOption('--mean <r,g,b>', "of the pixels; default ImageNet's"))
    .addOption(options.channelsOption('--std <r,g,b>', "of the pixels; default ImageNet's"))
    .addOption(options.exifOption('honour'))
    .option('--entry <name>', 'which entry of a PyTorch file, such as ema; default the weights')
    .requiredOption('--out <file>', 'the checkpoint to write, .safetensors')
    .addOption(options.jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx import resnet18.pth --model resnet18 --out resnet18.safetensors\n' +
        '  $ plusx import resnet20.th --model resnet20 --class-names labels.txt \\\n' +
        '      --out resnet20.safetensors\n',
    )
    .action(async (file: string, { json = false, out, classNames, ...given }: Given) => {
      const output = new Output(json);
      const names = classNames === undefined ? {} : { classNames: await namesOf(classNames) };
      const report = await importWeights(file, out, { ...given, ...names });
      output.record({ type: 'import', ...report });
      for (const note of report.notes) output.print(note);
      const { resize, crop } = report.preprocessing;
      output.print(
        `${report.checkpoint}: ${report.model}, ${whole(report.parameters)} parameters, ` +
          `${report.classes.length} classes, images of ${crop} px (shorter side ${resize} before)`,
      );
    });

/** The names themselves, or those in a text file. */
async function namesOf(text: string): Promise<string[]> {
  if (text.includes(',')) return text.split(',').map((name) => name.trim());
  try {
    const lines = (await readFile(text, 'utf8')).split(/\r?\n/).map((line) => line.trim());
    return lines.filter((line) => line !== '');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw new PlusxError(
      'option',
      `--class-names: ${text} cannot be read (${code}); name a text file, or the names, a,b,c`,
      { file: text },
    );
  }
}
