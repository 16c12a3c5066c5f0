/** What is measured: the rows of the table, and the sides that run each of them. */
import type { InstructionSet, Precision, Stem } from 'plusx';

export interface Row {
  /** As `--rows` has it. */
  readonly name: string;
  /** As the table has it. */
  readonly title: string;
  /** What is told of each side: seconds a step, or the largest resident size of its process. */
  readonly figure: 'seconds' | 'memory';
  readonly task: 'train' | 'infer';
  /** `conv3x3` is the article's network, `conv7x7` torchvision's. */
  readonly stem: Stem;
  readonly classes: number;
  readonly imageSize: number;
  readonly batchSize: number;
  readonly precision: Precision;
  /** Both sides are held to it. Default: the best that the processor has. */
  readonly instructionSet?: InstructionSet;
  /** Turns of each side unless `--rounds` says otherwise. */
  readonly rounds: number;
  /** Steps a turn unless `--steps` says otherwise: a turn should take half a second or more. */
  readonly steps: number;
}

const article224 = {
  task: 'train',
  stem: 'conv3x3',
  classes: 2,
  imageSize: 224,
  batchSize: 8,
  precision: 'fp32',
} as const;

const resnet18 = { ...article224, stem: 'conv7x7', classes: 1000, batchSize: 32 } as const;

export const rows: readonly Row[] = [
  {
    ...article224,
    name: 'train-article-224',
    title: "training step, article's network, 224 px, batch 8",
    figure: 'seconds',
    rounds: 4,
    steps: 1,
  },
  {
    ...article224,
    name: 'train-article-64',
    title: "training step, article's network, 64 px, batch 32",
    figure: 'seconds',
    imageSize: 64,
    batchSize: 32,
    rounds: 4,
    steps: 1,
  },
  {
    ...resnet18,
    name: 'train-resnet18-224',
    title: 'training step, ResNet-18, 224 px, batch 32',
    figure: 'seconds',
    rounds: 4,
    steps: 1,
  },
  {
    ...article224,
    name: 'memory-article-224',
    title: "peak memory, training, article's network, 224 px, batch 8",
    figure: 'memory',
    rounds: 0,
    steps: 1,
  },
  {
    ...resnet18,
    name: 'infer-1',
    title: 'inference, ResNet-18, 224 px, batch 1',
    figure: 'seconds',
    task: 'infer',
    batchSize: 1,
    rounds: 7,
    steps: 20,
  },
  {
    ...resnet18,
    name: 'infer-32',
    title: 'inference, ResNet-18, 224 px, batch 32',
    figure: 'seconds',
    task: 'infer',
    rounds: 5,
    steps: 1,
  },
  {
    ...article224,
    name: 'bf16-article-224',
    title: "training step, bf16, article's network, 224 px, batch 8",
    figure: 'seconds',
    precision: 'bf16',
    rounds: 3,
    steps: 1,
  },
  {
    ...article224,
    name: 'avx2-article-224',
    title: "training step, AVX2 only, article's network, 224 px, batch 8",
    figure: 'seconds',
    instructionSet: 'avx2',
    rounds: 3,
    steps: 1,
  },
];

/** What runs a row: a process each, named as `--sides` has it. */
export interface Side {
  readonly name: string;
  readonly kind: 'plusx' | 'pytorch' | 'onnxruntime';
  readonly title: string;
}

export const sides: readonly Side[] = [
  { name: 'native', kind: 'plusx', title: 'native' },
  { name: 'wasm', kind: 'plusx', title: 'WASM' },
  { name: 'eager', kind: 'pytorch', title: 'PyTorch eager' },
  { name: 'channels-last', kind: 'pytorch', title: 'PyTorch eager, channels_last' },
  { name: 'compile', kind: 'pytorch', title: 'PyTorch torch.compile' },
  { name: 'onnxruntime-node', kind: 'onnxruntime', title: 'onnxruntime-node' },
  { name: 'onnxruntime-web', kind: 'onnxruntime', title: 'onnxruntime-web' },
];

/** Whether a side can run a row at all. */
export function runs({ name, kind }: Side, row: Row): boolean {
  if (kind === 'onnxruntime') return row.task === 'infer';
  // An instruction set is the native engine's; WASM is compiled by whoever runs it.
  return name !== 'wasm' || row.instructionSet === undefined;
}

/** Equal where two rows are the same work, told by another figure. */
export function workload(row: Row): string {
  const { task, stem, classes, imageSize, batchSize, precision, instructionSet = '' } = row;
  return [task, stem, classes, imageSize, batchSize, precision, instructionSet].join(' ');
}
