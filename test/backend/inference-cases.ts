/**
 * Convolutions in evaluation with what the planner folds into them: weights are state, so that a plan
 * prepares them. The reference computes the parts one by one.
 */
import type { Capabilities, TensorData } from '../../src/backend/backend.js';
import { allocateLike } from '../../src/backend/transfer.js';
import { GraphBuilder } from '../../src/graph/builder.js';
import { elementCount, type Value } from '../../src/graph/graph.js';
import { emitInto } from '../../src/ops/emit.js';
import { Random } from '../../src/random/philox.js';
import { positive, signed, type Drawn, type StepCase } from './step-case.js';

/** What lies behind the convolution. `self`: its input, which a convolution made, is the skip. */
interface Epilogue {
  readonly norm: boolean;
  readonly residual: 'none' | 'input' | 'self' | 'convolution';
  readonly relu: boolean;
}

type Convolution = readonly [
  ...[N: number, H: number, W: number, C: number, K: number],
  ...[R: number, stride: number, padding: number],
];

const gemm: Partial<Capabilities> = { convAlgorithms: ['gemm'] };
const winograd: Partial<Capabilities> = { convInOrder: true };

/** Rounding errors of F(4×4, 3×3) beside those of a plain sum, as in convolution-cases.ts. */
const winogradError = 8;

const plain: Epilogue = { norm: true, residual: 'none', relu: true };

export function inferenceCases(): StepCase[] {
  return [
    // Channels that fill chunks and not, runs of columns at edges, blocks cut by output channels.
    convolution([2, 9, 11, 3, 31, 7, 2, 3], plain, gemm),
    convolution([1, 5, 7, 16, 33, 1, 2, 0], { ...plain, relu: false }, gemm),
    convolution([1, 7, 6, 17, 160, 3, 2, 1], { ...plain, residual: 'input' }, gemm),
    convolution([1, 6, 6, 16, 16, 3, 1, 1], { ...plain, residual: 'self' }, gemm),
    convolution([2, 5, 4, 32, 15, 3, 1, 1], { ...plain, norm: false }, gemm),
    // Weights transformed once: tiles that are whole, cut off and several groups.
    convolution([1, 4, 4, 16, 32, 3, 1, 1], plain, winograd),
    convolution([2, 5, 7, 3, 17, 3, 1, 1], { ...plain, residual: 'input', relu: false }, winograd),
    convolution([3, 29, 26, 33, 16, 3, 1, 1], { ...plain, residual: 'convolution' }, winograd),
    convolution([1, 9, 9, 16, 16, 3, 1, 0], { ...plain, norm: false, relu: false }, winograd),
    convolution([1, 8, 6, 33, 33, 3, 1, 1], { ...plain, residual: 'self' }, winograd),
    // And as they are needed, in several stages.
    convolution([1, 9, 8, 130, 257, 3, 1, 1], { ...plain, residual: 'input' }, winograd),
    convolution([1, 17, 18, 130, 225, 3, 1, 1], plain, winograd),
    // With so few tiles that a panel's products stay in the first cache: several runs of the reduction.
    convolution([1, 7, 7, 132, 257, 3, 1, 1], { ...plain, residual: 'input' }, winograd),
    convolution([1, 3, 6, 192, 225, 3, 1, 1], plain, winograd),
    convolution([1, 4, 5, 130, 257, 3, 1, 1], { ...plain, relu: false }, winograd),
  ];
}

function convolution(
  sizes: Convolution,
  epilogue: Epilogue,
  capabilities: Partial<Capabilities>,
): StepCase {
  const [N, H, W, C, K, R, stride, padding] = sizes;
  const { norm, residual, relu } = epilogue;
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => 'case');
  const random = new Random(2, 'bench', C + K);
  const data = new Map<string, TensorData>();
  const tensor = (role: 'input' | 'state', name: string, { shape, dtype, draw }: Drawn) => {
    data.set(
      name,
      allocateLike(dtype, elementCount(shape)).map(() => draw(random)),
    );
    return builder[role](name, { shape, dtype });
  };
  /** A convolution and its batch normalisation or bias. */
  const layer = (name: string, x: Value, filter: number, window: typeof attributes) => {
    const weight = tensor('state', `${name}.weight`, signed(K, filter, filter, C));
    const y = emit('conv2d', [x, weight], window)[0]!;
    const vector = (key: string) => tensor('state', `${name}.${key}`, signed(K));
    if (!norm) return emit('addBias', [y, vector('bias')], {})[0]!;
    const vectors = [vector('gamma'), vector('beta'), vector('mean')];
    const variance = tensor('state', `${name}.variance`, positive(K));
    return emit('batchNormInference', [y, ...vectors, variance], { eps: 1e-5 })[0]!;
  };
  const attributes = { stride, padding };
  let x = tensor('input', 'x', signed(N, H, W, C));
  if (residual === 'self') x = emit('relu', [layer('first', x, 1, { stride, padding: 0 })], {})[0]!;
  let y = layer('conv', x, R, attributes);
  const skips: Record<Epilogue['residual'], () => Value | undefined> = {
    none: () => undefined,
    input: () => tensor('input', 'skip', signed(...y.shape)),
    self: () => x,
    convolution: () => layer('downsample', x, 1, { stride, padding: 0 }),
  };
  const skip = skips[residual]();
  if (skip) y = emit('add', [y, skip], {})[0]!;
  if (relu) y = emit('relu', [y], {})[0]!;
  builder.output('y', y);
  const algorithm = capabilities === winograd ? 'winograd' : 'gemm';
  return {
    title:
      `inference, ${N}×${H}×${W}×${C} to ${K}, ${R}×${R}, stride ${stride}, padding ${padding}, ` +
      `${norm ? 'norm' : 'bias'}, residual ${residual}${relu ? ', relu' : ''}, ${algorithm}`,
    graph: builder.build(),
    data,
    // A folded weight is up to √2 times as large, and rounded once more; two layers where it is `self`.
    reduction:
      (residual === 'self' ? 2 * C : 2) *
      (algorithm === 'winograd' ? winogradError : 1) *
      R *
      R *
      C,
    capabilities,
  };
}
