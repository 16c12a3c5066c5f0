/** `plusx export`: a checkpoint as a file for other programs, with its classes and preprocessing. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Compose } from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import { createModel } from '../models/registry.js';
import { checkpointMetadata, loadCheckpoint, type Checkpoint } from './checkpoint.js';
import { exportOnnx, type OnnxOptions, type OnnxSummary } from './export-onnx.js';
import { exportPth, exportSafetensors } from './export-weights.js';

export const exportFormats = ['onnx', 'safetensors', 'pth'] as const;

export type ExportFormat = (typeof exportFormats)[number];

/** The options of `exportOnnx` are for that format alone. */
export interface ExportOptions extends OnnxOptions {
  readonly format: ExportFormat;
  /** Default: beside the checkpoint, `best.onnx`, `best.pth` or `best.weights.safetensors`. */
  readonly out?: string | undefined;
}

export interface ExportResult {
  readonly checkpoint: string;
  readonly format: ExportFormat;
  readonly file: string;
  readonly bytes: number;
  readonly classes: readonly string[];
  /** Null for the other formats. */
  readonly onnx: OnnxSummary | null;
}

/**
 * Writes a checkpoint's model in another format, without its optimizer; what is at `out` is
 * replaced as a whole or not at all.
 *
 * Classes and preprocessing go along in the metadata of ONNX and safetensors, as `plusx.classes` and
 * `plusx.preprocessing`; .pth has no room for them. Throws PlusxError: `checkpoint-…`, `option`,
 * `export-folder` where `out` cannot be, and what `exportOnnx` and `exportPth` throw.
 */
export async function exportCheckpoint(
  checkpoint: string,
  options: ExportOptions,
): Promise<ExportResult> {
  const { format } = options;
  expectOwnOptions(options);
  const file = options.out ?? besides(checkpoint, format);
  const loaded = await loadCheckpoint(checkpoint);
  await expectPlace(file, checkpoint);
  const onnx = await write(file, loaded, options);
  const { size } = await stat(file);
  return { checkpoint, format, file, bytes: size, classes: loaded.classes, onnx };
}

async function write(
  file: string,
  checkpoint: Checkpoint,
  { format, ...onnxOptions }: ExportOptions,
): Promise<OnnxSummary | null> {
  const { model, classes, preprocessing, training, state } = checkpoint;
  const batches = training?.progress.globalStep;
  const metadata = checkpointMetadata({ ...checkpoint, training: null });
  if (format === 'pth') await exportPth(file, state, { batches });
  else if (format === 'safetensors') await exportSafetensors(file, state, { batches, metadata });
  else {
    const { name, ...networkOptions } = model;
    const module = createModel(name, { ...networkOptions, classes: classes.length });
    return exportOnnx(file, module, state, {
      ...onnxOptions,
      imageSize: preprocessing.outputSize,
      normalization: preprocessing.normalization,
      metadata,
      inputDoc: describe(preprocessing, onnxOptions.withPreprocessing ?? false),
    });
  }
  return null;
}

/** How an image becomes the input `images`, in words. */
function describe({ resize, outputSize, normalization }: Compose, withPreprocessing: boolean) {
  const { mean, std } = normalization;
  const pixels =
    `RGB, shorter side resized to ${resize} pixels (bilinear with antialiasing, as Pillow), the ` +
    `middle ${outputSize}×${outputSize} cut out`;
  if (withPreprocessing) return `${pixels}: bytes, channels last`;
  return `${pixels}, (x/255 - [${mean.join(', ')}])/[${std.join(', ')}], channels first`;
}

function besides(checkpoint: string, format: ExportFormat): string {
  const stem = checkpoint.replace(/\.safetensors$/, '');
  return format === 'safetensors' ? `${stem}.weights.safetensors` : `${stem}.${format}`;
}

function expectOwnOptions({ format, opset, foldBatchNorm, withPreprocessing }: ExportOptions) {
  if (!exportFormats.includes(format)) {
    throw new PlusxError(
      'option',
      `format: expected one of ${exportFormats.join(', ')}, got "${String(format)}"`,
    );
  }
  if (format === 'onnx') return;
  for (const [name, value] of Object.entries({ opset, foldBatchNorm, withPreprocessing })) {
    if (value === undefined) continue;
    throw new PlusxError(
      'option',
      `${name}: is for the format onnx, the format is ${format}; leave it out`,
    );
  }
}

/** A file can be written there, and the checkpoint does not lie there. */
async function expectPlace(file: string, checkpoint: string): Promise<void> {
  const folder = path.dirname(file);
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw new PlusxError(
      'export-folder',
      `${file}: there is no folder ${folder}; make it, or choose another with --out`,
      { file },
    );
  }
  const there = await stat(file).catch(() => undefined);
  if (!there) return;
  if (there.isDirectory()) {
    throw new PlusxError('export-folder', `${file} is a folder; name a file with --out`, { file });
  }
  const source = await stat(checkpoint);
  if (there.ino === source.ino && there.dev === source.dev) {
    throw new PlusxError(
      'export-folder',
      `${file} is the checkpoint itself; choose another file with --out`,
      { file },
    );
  }
}
