/** What is in a file of weights, without reading a tensor and without executing anything. */
import { elementBytes, isFloat, type DType } from './dtype.js';
import { withWeights, type WeightFile, type WeightFormat, type WeightOptions } from './weights.js';

export interface TensorReport {
  readonly key: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In the file. */
  readonly bytes: number;
}

export interface FileReport {
  readonly file: string;
  readonly format: WeightFormat;
  /** Of the whole file. */
  readonly bytes: number;
  /** The entry of a PyTorch file that is described, `state_dict`; empty where it has only one. */
  readonly entry: string;
  /** Other entries that hold tensors, for the option `entry`. */
  readonly otherEntries: readonly string[];
  readonly tensors: readonly TensorReport[];
  /** Floating-point numbers without running statistics and an optimizer's moments. */
  readonly parameters: number;
  /** Text and numbers beside the tensors; those of plusx are JSON. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Entries beside the tensors that are none. */
  readonly leftOut: readonly string[];
}

/** Describes safetensors, checkpoints of plusx, and PyTorch's files; throws as `readWeights`. */
export async function inspectWeights(
  path: string,
  options: WeightOptions = {},
): Promise<FileReport> {
  return withWeights(path, (file) => Promise.resolve(reportOn(file)), options);
}

function reportOn({ tensors, ...about }: WeightFile): FileReport {
  const reports = Array.from(tensors, ([key, { dtype, shape }]) => {
    return { key, dtype, shape, bytes: shape.reduce((a, b) => a * b, elementBytes(dtype)) };
  });
  const parameters = reports
    .filter(
      ({ key, dtype }) => isFloat(dtype) && !/^optimizer\.|(^|\.)running_(mean|var)$/.test(key),
    )
    .reduce((sum, { bytes, dtype }) => sum + bytes / elementBytes(dtype), 0);
  return { ...about, tensors: reports, parameters };
}
