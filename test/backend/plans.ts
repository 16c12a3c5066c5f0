/** Plans of which an engine's behaviour can be seen: large, long, or with a state that moves. */
import { GraphBuilder } from '../../src/graph/builder.js';
import { emitInto } from '../../src/ops/emit.js';
import { compilePlan } from '../../src/plan/compile.js';
import type { Plan, StateLayout } from '../../src/plan/plan.js';

/** A plan that fills `bytes` bytes of memory. */
export function fillPlan(bytes: number): Plan {
  const builder = new GraphBuilder();
  const [y] = emitInto(builder, () => '')('fill', [], { shape: [bytes / 4], value: 1 });
  builder.output('y', y!);
  return compilePlan(builder.build(), { convAlgorithms: ['gemm'] });
}

/** total += x, with a temporary of `scratch` values. */
export function sumPlan(scratch: number, layout?: StateLayout): Plan {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => '');
  const vector = { shape: [3], dtype: 'f32' } as const;
  const total = builder.state('total', vector);
  const x = builder.input('x', vector);
  const hyper = builder.input('hyper', vector);
  const attributes = { momentum: 0, weightDecay: 0, nesterov: false };
  builder.update('total', emit('sgd', [total, x, hyper], attributes)[0]!);
  builder.output('scratch', emit('fill', [], { shape: [scratch], value: 1 })[0]!);
  return compilePlan(builder.build(), { convAlgorithms: ['gemm'] }, layout);
}

/** `count` convolutions 3×3 in a row, of 64 channels at 64×64: each tens of milliseconds. */
export function convolutionsPlan(count: number): Plan {
  const builder = new GraphBuilder();
  const emit = emitInto(builder, () => '');
  let x = builder.input('x', { shape: [4, 64, 64, 64], dtype: 'f32' });
  const weight = builder.input('weight', { shape: [64, 3, 3, 64], dtype: 'f32' });
  for (let i = 0; i < count; i++) {
    x = emit('conv2d', [x, weight], { stride: 1, padding: 1 })[0]!;
  }
  builder.output('y', x);
  return compilePlan(builder.build(), { convAlgorithms: ['gemm'] });
}

export const convolutionInputs = {
  x: new Float32Array(4 * 64 * 64 * 64),
  weight: new Float32Array(64 * 9 * 64),
};

/** One 3×3 convolution of `images` 64×64 images, 16 to 32 channels, by Winograd. */
export function imagesPlan(images: number): Plan {
  const builder = new GraphBuilder();
  const x = builder.input('x', { shape: [images, 64, 64, 16], dtype: 'f32' });
  const weight = builder.input('weight', { shape: [32, 3, 3, 16], dtype: 'f32' });
  const window = { stride: 1, padding: 1 };
  builder.output('y', emitInto(builder, () => '')('conv2d', [x, weight], window)[0]!);
  return compilePlan(builder.build(), { convAlgorithms: ['winograd', 'gemm'], convInOrder: true });
}
