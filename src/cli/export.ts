/** `plusx export`: a checkpoint as ONNX, safetensors or PyTorch's .pth. */
import { Command } from 'commander';
import { bytesText } from '../errors.js';
import { exportCheckpoint, exportFormats, type ExportOptions } from '../train/export-checkpoint.js';
import { choiceOption, jsonOption, wholeOption } from './options.js';
import { Output } from './output.js';

type Options = ExportOptions & { readonly json?: boolean };

/** Commander turns `--fold-batch-norm` and `--no-fold-batch-norm` into one option. */
export const exportCommand = () =>
  new Command('export')
    .description('write a checkpoint for other programs: ONNX, safetensors or PyTorch')
    .argument('<checkpoint>', 'a .safetensors file of a run')
    .addOption(
      choiceOption('--format <name>', 'what to write', exportFormats).makeOptionMandatory(),
    )
    .option('--out <file>', 'where to; default beside the checkpoint')
    .option('--fold-batch-norm', 'ONNX: batch-norms into the convolutions before them (default)')
    .option('--no-fold-batch-norm', 'ONNX: batch-norms as nodes of their own')
    .option('--with-preprocessing', 'ONNX: takes bytes (N, S, S, 3) and normalises them itself')
    .addOption(wholeOption('--opset <n>', 'ONNX: version of the operators, 13 to 26; default 26'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nImages go into the ONNX file as floats (N, 3, S, S), resized, cropped and normalised; with\n' +
        '--with-preprocessing as bytes (N, S, S, 3), resized and cropped: no operator resizes as\n' +
        'Pillow does. Classes and preprocessing are in its metadata, as plusx.classes and\n' +
        'plusx.preprocessing.\n' +
        '\nExamples:\n  $ plusx export runs/pets/best.safetensors --format onnx\n' +
        '  $ plusx export runs/pets/best.safetensors --format onnx --with-preprocessing --opset 17\n' +
        '  $ plusx export runs/pets/best.safetensors --format pth --out pets.pth\n',
    )
    .action(async (checkpoint: string, { json = false, ...options }: Options) => {
      const output = new Output(json);
      const { file, bytes, onnx, ...rest } = await exportCheckpoint(checkpoint, options);
      output.record({ type: 'export', ...rest, file, bytes, onnx });
      const detail = onnx ? `, opset ${onnx.opset}, ${onnx.nodes} nodes` : '';
      output.print(`${file}: ${bytesText(bytes)}${detail}`);
    });
