/** `plusx demo`: draws cats and dogs, trains on them, and shows what to do with one's own. */
import path from 'node:path';
import { Command } from 'commander';
import { demoRecipe, drawDemoDataset } from '../demo/draw.js';
import { evaluate, predict } from '../train/evaluate.js';
import { evaluationText } from './eval.js';
import { deviceOption, jsonOption, threadsOption } from './options.js';
import { Output, percent } from './output.js';
import { startProgress } from './progress.js';
import { runTraining } from './train.js';
import type { DeviceChoice } from '../backend/devices.js';

interface Options {
  readonly out?: string;
  readonly device?: DeviceChoice;
  readonly threads?: number;
  readonly json?: boolean;
}

export const demoCommand = () =>
  new Command('demo')
    .description('draw a data set of cats and dogs, train on it, evaluate, predict')
    .option('--out <folder>', 'where the run is kept; default runs/demo-<date-time>')
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ plusx demo\n  $ plusx demo --device wasm\n')
    .action(async ({ json = false, out, ...given }: Options) => {
      const output = new Output(json);
      const folder = path.resolve('demo-data');
      const progress = startProgress('drawing cats and dogs');
      const drawn = await drawDemoDataset(folder, {
        onProgress: (done, total) => progress.update(done, total, ''),
      }).finally(() => progress.stop());
      output.notice(`${drawn.images} drawn images in ${folder}`);

      const stamp = new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '');
      const run = out ?? path.join('runs', `demo-${stamp}`);
      const summary = await runTraining({ ...given, ...demoRecipe, folder, out: run }, output);
      if (summary.status !== 'finished') return;

      const checkpoint = summary.best ?? summary.last;
      const evaluation = await evaluate(checkpoint, path.join(folder, 'val'), given);
      output.record({ type: 'evaluation', ...evaluation });
      output.print(`\nheld-out images: ${evaluationText(evaluation)}`);
      const [prediction] = await predict(checkpoint, [drawn.example], given);
      output.record({ type: 'prediction', ...prediction });
      const [best] = prediction!.classes;
      output.print(
        `\n${path.relative('.', drawn.example)} shows: ${best!.class} ` +
          `(${percent(best!.probability)})\n\n` +
          'now with photographs of your own, a folder for each class:\n' +
          '  npx plusx train <folder>\n' +
          `  npx plusx predict ${checkpoint} <image…>`,
      );
    });
