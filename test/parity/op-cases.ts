/** The op cases of scripts/fixtures/ops.py as graphs: one forward op and its gradients each. */
import type { TensorData } from '../../src/backend/backend.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { elementCount, type Graph, type Value } from '../../src/graph/graph.js';
import { derivativesInto } from '../../src/ops/derivatives.js';
import { emitInto } from '../../src/ops/emit.js';
import { words } from './formula.js';

/** A graph under construction with the data of its inputs and state. */
export class OpCase {
  readonly builder = new GraphBuilder();
  readonly emit = emitInto(this.builder, () => 'case');
  readonly data = new Map<string, TensorData>();
  /** What changes in runs after the first, which go on from its state. */
  readonly laterRuns: ReadonlyMap<string, TensorData>[] = [];

  /** Multiples of 1/64 within ±1, times `scale`, plus `shift`. */
  tensor(name: string, stream: number, shape: number[], scale = 1, shift = 0): Value {
    this.data.set(name, signed(stream, elementCount(shape), scale, shift));
    return this.builder.input(name, { shape, dtype: 'f32' });
  }

  /** As `tensor`, but living between runs. */
  state(name: string, stream: number, shape: number[], scale = 1, shift = 0): Value {
    this.data.set(name, signed(stream, elementCount(shape), scale, shift));
    return this.builder.state(name, { shape, dtype: 'f32' });
  }

  /** Outputs the gradients of the last node's inputs, by name; null is passed over. */
  gradients(stream: number, names: readonly (string | null)[]): void {
    const node = this.builder.nodes.at(-1)!;
    const dy = this.tensor('dy', stream, [...node.outputs[0]!.shape]);
    this.pullBack(dy, names);
  }

  /** As `gradients`, from the seed 1. */
  gradientsOfLoss(names: readonly (string | null)[]): void {
    const [one] = this.emit('fill', [], { shape: [1], value: 1 });
    this.pullBack(one!, names, this.builder.nodes.length - 2);
  }

  pullBack(dy: Value, names: readonly (string | null)[], at = this.builder.nodes.length - 1): void {
    const node = this.builder.nodes[at]!;
    const doutputs = node.outputs.map((_, i) => (i === 0 ? dy : null));
    const found = derivativesInto(this.builder).vjp(node, doutputs, (i) => Boolean(names[i]));
    names.forEach((name, i) => {
      if (name) this.builder.output(name, found[i]!);
    });
  }

  graph(): Graph {
    return this.builder.build();
  }
}

function signed(stream: number, count: number, scale: number, shift: number): Float32Array {
  return Float32Array.from(words(stream, count), (w) => ((w % 129) / 64 - 1) * scale + shift);
}

export function conv2dCase([N, H, W, C, K, R, stride, padding]: number[]): OpCase {
  const made = new OpCase();
  const x = made.tensor('x', 0, [N!, H!, W!, C!]);
  const weight = made.tensor('weight', 1, [K!, R!, R!, C!]);
  const attributes = { stride: stride!, padding: padding! };
  made.builder.output('y', made.emit('conv2d', [x, weight], attributes)[0]!);
  made.gradients(2, ['dx', 'dweight']);
  return made;
}

export function batchNormCase(shape: number[]): OpCase {
  const made = new OpCase();
  const C = shape[3]!;
  const x = made.tensor('x', 0, shape);
  const weight = made.tensor('weight', 1, [C]);
  const bias = made.tensor('bias', 2, [C]);
  const before = [made.tensor('mean', 3, [C]), made.tensor('variance', 4, [C], 0.5, 1)];
  const [inference] = made.emit('batchNormInference', [x, weight, bias, ...before], { eps: 1e-5 });
  made.builder.output('inference', inference!);
  const frozen = ['frozenDx', 'frozenDweight', 'frozenDbias'];
  made.pullBack(made.tensor('frozenDy', 6, shape), frozen);
  const mean = made.state('runningMean', 3, [C]);
  const variance = made.state('runningVar', 4, [C], 0.5, 1);
  const attributes = { momentum: 0.1, eps: 1e-5 };
  const outputs = made.emit('batchNorm', [x, weight, bias, mean, variance], attributes);
  made.builder.output('y', outputs[0]!);
  made.builder.update('runningMean', outputs[3]!);
  made.builder.update('runningVar', outputs[4]!);
  made.gradients(5, ['dx', 'dweight', 'dbias']);
  return made;
}

export function poolCase(kind: string, sizes: number[]): OpCase {
  const [N, H, W, C, R, stride, padding] = sizes as [number, ...number[]];
  const made = new OpCase();
  const x = made.tensor('x', 0, [N, H!, W!, C!]);
  const window = { kernelHeight: R!, kernelWidth: R!, stride: stride!, padding: padding! };
  const op = kind === 'max' ? 'maxPool2d' : 'avgPool2d';
  made.builder.output('y', made.emit(op, [x], window)[0]!);
  made.gradients(1, ['dx']);
  return made;
}

export function reluCase(count: number): OpCase {
  const made = new OpCase();
  made.builder.output('y', made.emit('relu', [made.tensor('x', 0, [count])], {})[0]!);
  made.gradients(1, ['dx']);
  return made;
}

export function linearCase([N, inputs, outputs]: number[]): OpCase {
  const made = new OpCase();
  const x = made.tensor('x', 0, [N!, inputs!]);
  const weight = made.tensor('weight', 1, [outputs!, inputs!]);
  const bias = made.tensor('bias', 2, [outputs!]);
  const transposes = { transposeA: false, transposeB: true };
  const [product] = made.emit('matmul', [x, weight], transposes);
  made.builder.output('y', made.emit('addBias', [product!, bias], {})[0]!);
  const dy = made.tensor('dy', 3, [N!, outputs!]);
  made.pullBack(dy, [null, 'dbias']);
  made.pullBack(dy, ['dx', 'dweight'], 0);
  return made;
}

export function crossEntropyCase([N, classes, scale]: number[]): OpCase {
  const made = new OpCase();
  const logits = made.tensor('logits', 0, [N!, classes!], scale);
  made.data.set(
    'labels',
    Int32Array.from(words(1, N!), (word) => word % classes!),
  );
  const labels = made.builder.input('labels', { shape: [N!], dtype: 'i32' });
  made.builder.output('loss', made.emit('softmaxCrossEntropy', [logits, labels], {})[0]!);
  made.gradientsOfLoss(['dlogits', null]);
  return made;
}

export function normalizeImageCase([N, H, W]: number[]): OpCase {
  const made = new OpCase();
  made.data.set(
    'x',
    Uint8Array.from(words(0, N! * H! * W! * 3), (word) => word % 256),
  );
  const x = made.builder.input('x', { shape: [N!, H!, W!, 3], dtype: 'u8' });
  const attributes = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  made.builder.output('y', made.emit('normalizeImage', [x], attributes)[0]!);
  return made;
}

interface OptimizerSettings {
  readonly lr: number;
  readonly momentum?: number;
  readonly weightDecay?: number;
  readonly nesterov?: boolean;
}

/** `steps` updates in a row, each a run with a gradient of its own. */
export function optimizerCase(
  [kind, count, steps]: readonly [string, number, number],
  { lr, momentum = 0, weightDecay, nesterov = false }: OptimizerSettings,
): OpCase {
  const made = new OpCase();
  const moments = kind === 'adamw' ? ['m', 'v'] : momentum > 0 ? ['velocity'] : [];
  const [parameter, ...moving] = ['parameter', ...moments].map((name, i) =>
    made.state(name, 0, [count], i === 0 ? 1 : 0),
  );
  const dparameter = made.tensor('dparameter', 1, [count]);
  const hyper = made.builder.input('hyper', { shape: [3], dtype: 'f32' });
  const inputs = [parameter!, dparameter, hyper, ...moving];
  const betas = { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
  const outputs =
    kind === 'adamw'
      ? made.emit('adamW', inputs, { ...betas, weightDecay: weightDecay ?? 0.01 })
      : made.emit('sgd', inputs, { momentum, weightDecay: weightDecay ?? 0, nesterov });
  ['parameter', ...moments].forEach((name, i) => made.builder.update(name, outputs[i]!));
  const runs = Array.from({ length: steps }, (_, i) => {
    const corrections = [1 - 0.9 ** (i + 1), 1 - 0.999 ** (i + 1)];
    return new Map([
      ['dparameter', signed(i + 1, count, 1, 0)],
      ['hyper', Float32Array.of(lr, ...corrections)],
    ]);
  });
  for (const [name, data] of runs[0]!) made.data.set(name, data);
  made.laterRuns.push(...runs.slice(1));
  return made;
}
