/** `plusx summary`: a model's layers, parameters and arithmetic. */
import { Command } from 'commander';
import type { NetworkOptions } from '../models/options.js';
import { createModel, modelDefaults, modelNames } from '../models/registry.js';
import { summarize } from '../models/summary.js';
import { addNetworkOptions, jsonOption, wholeOption } from './options.js';
import { Output, table, whole } from './output.js';

interface Options extends NetworkOptions {
  readonly classes?: number;
  readonly imageSize?: number;
  readonly json?: boolean;
}

export const summaryCommand = () =>
  addNetworkOptions(
    new Command('summary')
      .description("print a model's layers with output shapes, parameters and multiply-adds")
      .argument('<model>', `one of ${modelNames.join(', ')}`),
  )
    .addOption(wholeOption('--classes <n>', "default 1000, 10 of CIFAR's networks"))
    .addOption(wholeOption('--image-size <pixels>', "default 224, 32 of CIFAR's networks"))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx summary resnet18\n' +
        '  $ plusx summary resnet18 --stem conv3x3 --classes 2 --image-size 64\n',
    )
    .action((name: string, { json = false, ...options }: Options) => {
      const output = new Output(json);
      const model = createModel(name, options);
      const { imageSize, classes } = { ...modelDefaults(name), ...options };
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
