/** A model and its weights as an ONNX file. */
import type { Normalization } from '../data/transforms.js';
import { PlusxError } from '../errors.js';
import { writeFileAtomically } from '../formats/atomic-file.js';
import { convertToOnnx } from '../formats/onnx/convert.js';
import { encodeOnnx } from '../formats/onnx/encode.js';
import { newestOpset, type OnnxModel } from '../formats/onnx/model.js';
import { sameShape, type Graph } from '../graph/graph.js';
import type { Module } from '../nn/module.js';
import { Trace } from '../nn/trace.js';
import { packageRoot } from '../package-root.js';
import { fileShape, type StateDict } from './state-dict.js';
import { evaluationGraph } from './training-graph.js';

export interface OnnxOptions {
  /** Version of ONNX's operators, 13 to 26. Default 26, the newest that onnxruntime 1.30 runs. */
  readonly opset?: number | undefined;
  /** Makes each convolution and the batch-norm behind it one convolution. Default true. */
  readonly foldBatchNorm?: boolean | undefined;
  /**
   * Takes bytes (N, S, S, 3), RGB, and normalises them in the graph; resizing and cropping stay
   * outside. Default false: floats (N, 3, S, S), normalised already.
   */
  readonly withPreprocessing?: boolean | undefined;
}

export interface ExportOnnxOptions extends OnnxOptions {
  /** S: side of the square images in pixels. */
  readonly imageSize: number;
  /** Of the images; needed with `withPreprocessing`. */
  readonly normalization?: Normalization | undefined;
  /** Kept in the file beside the graph. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How an image becomes the input, for people. */
  readonly inputDoc?: string;
}

export interface OnnxSummary {
  readonly opset: number;
  readonly nodes: number;
  readonly bytes: number;
}

/**
 * Writes `model` in evaluation mode as ONNX: input `images`, output `logits` (N, classes), N open.
 *
 * Atomic; the same weights give the same bytes. Throws PlusxError `state-mismatch` where `state` is
 * not the model's, `onnx-op`, `onnx-batch`, `onnx-too-large` (2 GiB) and `option`.
 */
export async function exportOnnx(
  file: string,
  model: Module,
  state: StateDict,
  options: ExportOnnxOptions,
): Promise<OnnxSummary> {
  const onnx = onnxModel(model, state, options);
  const parts = encodeOnnx(onnx);
  await writeFileAtomically(file, parts);
  const bytes = parts.reduce((sum, { length }) => sum + length, 0);
  return { opset: onnx.opset, nodes: onnx.graph.nodes.length, bytes };
}

/** What `exportOnnx` writes, as data. */
export function onnxModel(model: Module, state: StateDict, options: ExportOnnxOptions): OnnxModel {
  const { imageSize, normalization, withPreprocessing = false } = options;
  // Any number will do: what depends on it is refused.
  const batchSize = 2;
  const graph = withPreprocessing
    ? evaluationGraph(model, { batchSize, imageSize, normalization: given(normalization) })
    : floatEvaluationGraph(model, batchSize, imageSize);
  expectWeights(graph, state);
  return convertToOnnx(graph, state, {
    opset: options.opset ?? newestOpset,
    foldBatchNorm: options.foldBatchNorm ?? true,
    metadata: options.metadata ?? {},
    producerVersion: packageRoot().version,
    docStrings: { images: options.inputDoc ?? '', logits: 'before softmax, one a class' },
  });
}

/** As `evaluationGraph`, of images that are normalised already: `images` (N,S,S,3) f32. */
function floatEvaluationGraph(model: Module, batchSize: number, imageSize: number): Graph {
  const trace = new Trace(model, { training: false });
  const shape = [batchSize, imageSize, imageSize, 3];
  const images = trace.input('images', { shape, dtype: 'f32' });
  trace.builder.output('logits', model(images).value);
  return trace.builder.build();
}

function expectWeights(graph: Graph, state: StateDict): void {
  for (const [key, { shape }] of graph.state) {
    const found = state.get(key)?.shape;
    const expected = fileShape(shape);
    if (found && sameShape(found, expected)) continue;
    throw new PlusxError(
      'state-mismatch',
      `${key}: the model has [${expected.join(',')}], the state ` +
        `${found ? `[${found.join(',')}]` : 'no such tensor'}; export a model with its own state`,
      { key, expected, found },
    );
  }
}

function given(normalization: Normalization | undefined): Normalization {
  if (normalization) return normalization;
  throw new PlusxError(
    'option',
    'withPreprocessing: needs a normalization, whose mean and std enter the graph',
  );
}
