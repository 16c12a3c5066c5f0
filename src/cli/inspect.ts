/** `plusx inspect`: what is in a file of weights. */
import { Command } from 'commander';
import { bytesText } from '../errors.js';
import { inspectWeights, type FileReport } from '../formats/inspect.js';
import { jsonOption } from './options.js';
import { Output, table, whole } from './output.js';

interface Options {
  readonly entry?: string;
  readonly json?: boolean;
}

const shownLetters = 120;

export const inspectCommand = () =>
  new Command('inspect')
    .description('say what is in a file of weights; nothing in it is executed')
    .argument('<file>', "a checkpoint, a .safetensors file, or PyTorch's .pth, .pt or .th")
    .option('--entry <name>', 'which entry of a PyTorch file, such as ema; default the weights')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ plusx inspect runs/pets/best.safetensors\n' +
        '  $ plusx inspect resnet18.pth --json\n',
    )
    .action(async (file: string, { json = false, entry }: Options) => {
      const output = new Output(json);
      const { tensors, ...about } = await inspectWeights(file, { entry });
      output.record({ type: 'file', ...about });
      for (const tensor of tensors) output.record({ type: 'tensor', ...tensor });
      output.print(reportText({ tensors, ...about }));
    });

function reportText(report: FileReport): string {
  const { file, format, bytes, entry, otherEntries, tensors, parameters, leftOut } = report;
  const metadata = Object.entries(report.metadata).map(([key, value]) => [
    key,
    value.length > shownLetters ? `${value.slice(0, shownLetters)}…` : value,
  ]);
  const rows = tensors.map(({ key, dtype, shape }) => [key, dtype, shape.join('×') || '·']);
  const others = otherEntries.length === 0 ? '' : `; also there: ${otherEntries.join(', ')}`;
  return [
    `${file}: ${format}, ${bytesText(bytes)}, ${whole(tensors.length)} tensors, ` +
      `${whole(parameters)} parameters`,
    ...(entry === '' ? [] : [`of its entry ${entry}${others}`]),
    ...(leftOut.length === 0 ? [] : [`no tensors: ${leftOut.slice(0, 10).join(', ')}`]),
    ...(metadata.length === 0 ? [] : ['', table(['metadata', ''], metadata)]),
    '',
    table(['key', 'dtype', 'shape'], rows),
  ].join('\n');
}
