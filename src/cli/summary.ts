/** `plusx summary`: a model's layers, parameters and arithmetic. */
import { Command } from 'commander';
import { createModel, modelNames } from '../models/registry.js';
import { stems, type Stem } from '../models/resnet.js';
import { summarize } from '../models/summary.js';
import { choiceOption, jsonOption, wholeOption } from './options.js';
import { Output, table, whole } from './output.js';

interface Options {
  readonly stem?: Stem;
  readonly classes?: number;
  readonly imageSize?: number;
  readonly json?: boolean;
}

export const summaryCommand = () =>
  new Command('summary')
    .description("print a model's layers with output shapes, parameters and multiply-adds")
    .argument('<model>', `one of ${modelNames.join(', ')}`)
    .addOption(choiceOption('--stem <name>', "first layers; default the model's own", stems))
    .addOption(wholeOption('--classes <n>', 'number of classes; default 1000'))
    .addOption(wholeOption('--image-size <pixels>', 'side of the image; default 224'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx summary resnet18\n' +
        '  $ plusx summary resnet18 --stem conv3x3 --classes 2 --image-size 64\n',
    )
    .action((name: string, { stem, classes = 1000, imageSize = 224, json = false }: Options) => {
      const output = new Output(json);
      const model = createModel(name, { classes, ...(stem ? { stem } : {}) });
      const { layers, parameters, macs } = summarize(model, imageSize);
      for (const layer of layers) output.record({ type: 'layer', ...layer });
      output.record({ type: 'model', model: name, imageSize, classes, parameters, macs });
      const rows = layers.map(({ path, op, output: shape, ...layer }) => [
        path || '·',
        op,
        shape.join('×'),
        layer.parameters === 0 ? '' : whole(layer.parameters),
        layer.macs === 0 ? '' : whole(layer.macs),
      ]);
      output.print(table(['layer', 'op', 'output', 'parameters', 'multiply-adds'], rows));
      output.print(
        `\n${name}: ${whole(parameters)} parameters, ` +
          `${(macs / 1e9).toFixed(2)} billion multiply-adds for an image of ${imageSize} pixels`,
      );
    });
