/** `plusx eval`: a checkpoint's accuracy on labelled images. */
import { Command } from 'commander';
import { evaluate, type EvaluateOptions, type Evaluation } from '../train/evaluate.js';
import * as options from './options.js';
import { Output, percent, table } from './output.js';
import { startProgress } from './progress.js';

export const evalCommand = () =>
  new Command('eval')
    .description("measure a checkpoint's accuracy on a folder of labelled images")
    .argument('<checkpoint>', 'a .safetensors file of a run')
    .argument('<folder>', '<class>/…, a folder with val/ or test/, or cifar10:<folder>')
    .addOption(options.wholeOption('--batch-size <n>', 'images at a time; changes no result'))
    .addOption(options.deviceOption())
    .addOption(options.threadsOption())
    .addOption(options.instructionSetOption())
    .option('--skip-bad', 'go on without images that cannot be read')
    .addOption(options.exifOption('as in training'))
    .addOption(options.jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx eval runs/pets/best.safetensors ./photos/test\n' +
        '  $ plusx eval runs/pets/best.safetensors ./photos --json\n',
    )
    .action(
      async (
        checkpoint: string,
        folder: string,
        { json = false, ...given }: EvaluateOptions & { json?: boolean },
      ) => {
        const output = new Output(json);
        const progress = startProgress('evaluating');
        const evaluation = await evaluate(checkpoint, folder, {
          ...given,
          onNotice: (line) => output.notice(line),
          onProgress: (images, total) => progress.update(images, total, ''),
        }).finally(() => progress.stop());
        output.record({ ...evaluation });
        output.print(evaluationText(evaluation));
      },
    );

export function evaluationText(evaluation: Evaluation): string {
  const { classes, confusion, precision, recall } = evaluation;
  const share = (value: number | null | undefined) => (value == null ? '–' : percent(value));
  const rows = classes.map((name, i) => [
    name,
    share(precision[i]),
    share(recall[i]),
    ...confusion[i]!.map(String),
  ]);
  const header = ['class', 'precision', 'recall', ...classes.map((name) => `→ ${name}`)];
  return (
    `accuracy ${percent(evaluation.top1)}, loss ${evaluation.loss.toFixed(4)}, ` +
    `${evaluation.images} images\n${table(header, rows)}`
  );
}
