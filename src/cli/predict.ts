/** `plusx predict`: what a checkpoint sees on single images. */
import { Command } from 'commander';
import { predict, type DeviceOptions } from '../train/evaluate.js';
import * as options from './options.js';
import { Output, percent } from './output.js';

/** Classes that are shown to a person; a machine gets all of them. */
const shownClasses = 3;

export const predictCommand = () =>
  new Command('predict')
    .description('classify images with a checkpoint')
    .argument('<checkpoint>', 'a .safetensors file of a run')
    .argument('<image...>', 'image files')
    .addOption(options.deviceOption())
    .addOption(options.threadsOption())
    .addOption(options.instructionSetOption())
    .addOption(options.jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx predict runs/pets/best.safetensors cat.jpg\n' +
        '  $ plusx predict runs/pets/best.safetensors *.jpg --json\n',
    )
    .action(
      async (
        checkpoint: string,
        images: string[],
        { json = false, ...given }: DeviceOptions & { json?: boolean },
      ) => {
        const output = new Output(json);
        const onNotice = (line: string) => output.notice(line);
        for (const prediction of await predict(checkpoint, images, { ...given, onNotice })) {
          output.record({ ...prediction });
          const best = prediction.classes
            .slice(0, shownClasses)
            .map((entry) => `${entry.class} ${percent(entry.probability)}`);
          output.print(`${prediction.path}: ${best.join(', ')}`);
        }
      },
    );
