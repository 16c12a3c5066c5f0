/** From the graph of evaluation and a model's weights to an ONNX model. */
import type { Graph } from '../../graph/graph.js';
import { PlusxError } from '../../errors.js';
import { GraphWriter, type ModelWeights } from './graph-writer.js';
import { lowestOpset, newestOpset, type OnnxModel } from './model.js';
import { translate } from './table.js';

export interface ConvertOptions {
  /** Version of ONNX's operators, 13 to 26. Default 26. */
  readonly opset?: number | undefined;
  /** Makes each convolution and the batch-norm behind it one convolution. Default true. */
  readonly foldBatchNorm?: boolean | undefined;
  /** Kept in the file beside the graph. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly producerVersion?: string;
  /** What the model is, for people. */
  readonly docString?: string;
  /** What an input or an output is, by its name. */
  readonly docStrings?: Readonly<Record<string, string>>;
}

/**
 * Images of floats become (N, C, H, W), bytes stay (N, H, W, C), N is open. Throws PlusxError
 * `onnx-op` for ops of training, `onnx-batch` where images of a batch are mixed, `option` for an
 * opset that is not offered.
 */
export function convertToOnnx(
  graph: Graph,
  weights: ModelWeights,
  options: ConvertOptions = {},
): OnnxModel {
  const { opset = newestOpset, foldBatchNorm = true, metadata = {}, docStrings = {} } = options;
  if (!Number.isInteger(opset) || opset < lowestOpset || opset > newestOpset) {
    throw new PlusxError(
      'option',
      `opset: expected a whole number from ${lowestOpset} to ${newestOpset}, got ${opset}`,
    );
  }
  const writer = new GraphWriter(graph, weights, foldBatchNorm);
  for (const node of graph.nodes) if (!writer.isAbsorbed(node)) translate(node, writer);
  return {
    opset,
    producerVersion: options.producerVersion ?? '',
    docString: options.docString ?? '',
    metadata,
    graph: writer.finish('plusx', docStrings),
  };
}
