/**
 * The program that TypeScript writes is the one that C++ reads: the same kinds, and for every one
 * of step the same arguments under the same names in the same order.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { capabilitiesOf, encodeProgram, stepKinds } from '../../src/backend/program.js';
import type { PlusxError } from '../../src/errors.js';
import { packageRoot } from '../../src/package-root.js';
import { slotAlignment, type Slot, type StepKind, type StepOf } from '../../src/plan/plan.js';
import { kernelArguments, nativeOpcodes, type KernelArgument } from './kernel-arguments.js';
import { fillPlan } from './plans.js';

interface Sample<Kind extends StepKind> {
  readonly step: Omit<StepOf<Kind>, 'kind'>;
  /** What C++ calls the numbers that a step has only in its shapes. */
  readonly sizes?: Readonly<Record<string, number>>;
}

/** No two alike, so that no two can change places unseen. */
const [N, H, W, C, K, R, S, OH, OW, stride, padding] = [2, 5, 7, 11, 13, 17, 19, 67, 71, 29, 31];

const slot = (unit: number, ...shape: number[]): Slot => ({
  offset: unit * slotAlignment,
  shape,
  dtype: 'f32',
});
const image = (unit: number) => slot(unit, N, H, W, C);
const output = (unit: number) => slot(unit, N, OH, OW, K);
const filter = (unit: number) => slot(unit, K, R, S, C);
const pooled = (unit: number) => slot(unit, N, OH, OW, C);
const vector = (unit: number) => slot(unit, C);
const flat = (unit: number) => slot(unit, 23);
const logits = (unit: number) => slot(unit, N, K);

const cut = { partials: 37, blockTiles: 41, blockChannels: 43, splits: 47 };
const convolution = {
  stride,
  padding,
  groups: 1,
  algorithm: 'winograd',
  cut,
  workspace: slot(900, 1),
} as const;
// One channel: what C++ reads in a loop is then one number.
const normalization = { mean: [0.25], std: [0.75] };
const convolutionSizes = {
  ...{ N, H, W, C, K, R, S, OH, OW, algorithm: 1, groups: 1, normalized: 1 },
  ...cut,
};
const prologue = { scale: slot(901, C), shift: slot(902, C) };
const normGradient = {
  normX: output(903),
  normMean: slot(904, K),
  normFactors: slot(905, 3, K),
  normScale: slot(906, K),
  normShift: slot(907, K),
};
const window = { kernelHeight: R, kernelWidth: S, stride, padding };
const poolSizes = { N, H, W, C, OH, OW, R, S };
const M = N * H * W;
const count = 23;

const samples: { readonly [Kind in StepKind]: Sample<Kind> } = {
  normalizeImage: {
    step: { x: slot(101, N, H, W, 1), y: slot(102, N, H, W, 1), ...normalization },
    sizes: { pixels: M, normalized: 1 },
  },
  conv2d: {
    step: {
      x: image(101),
      weight: filter(102),
      y: output(103),
      ...prologue,
      statistics: slot(104, 53, 3, K),
      ...normalization,
      ...convolution,
    },
    sizes: convolutionSizes,
  },
  packWeight: {
    step: {
      weight: filter(101),
      scale: slot(102, K),
      packed: slot(103, 32, R, S, 16),
      transformed: true,
      stride: 2,
    },
    sizes: { transformedStride: 2, K, taps: R * S, C },
  },
  conv2dInference: {
    step: {
      x: image(101),
      weight: filter(102),
      shift: slot(103, K),
      residual: output(104),
      y: output(105),
      transformed: true,
      relu: true,
      ...normalization,
      ...convolution,
    },
    sizes: convolutionSizes,
  },
  conv2dBackwardInput: {
    step: {
      dy: output(101),
      weight: filter(102),
      other: image(103),
      dx: image(104),
      weightPacked: true,
      ...convolution,
    },
    sizes: convolutionSizes,
  },
  conv2dBackwardWeight: {
    step: {
      x: image(101),
      dy: output(102),
      dweight: filter(103),
      accumulate: true,
      ...prologue,
      ...normGradient,
      ...normalization,
      ...convolution,
    },
    sizes: convolutionSizes,
  },
  matmul: {
    step: {
      a: slot(101, 3, 5),
      b: slot(102, 7, 5),
      y: slot(103, 3, 7),
      transposeA: false,
      transposeB: true,
    },
    sizes: { M: 3, N: 7, inner: 5 },
  },
  addBias: { step: { x: image(101), bias: vector(102), y: image(103) }, sizes: { rows: M, C } },
  sumToChannels: { step: { dy: image(101), dbias: vector(102) }, sizes: { M, C } },
  batchNormStatistics: {
    step: {
      x: image(101),
      partials: slot(102, 53, 3, C),
      weight: vector(103),
      bias: vector(104),
      runningMean: vector(105),
      runningVar: vector(106),
      scale: vector(107),
      shift: vector(108),
      mean: vector(109),
      invStd: vector(110),
      momentum: 0.25,
      eps: 0.5,
    },
    sizes: { M, C, blocks: 53 },
  },
  batchNormFold: {
    step: {
      weight: vector(101),
      bias: vector(102),
      runningMean: vector(103),
      runningVar: vector(104),
      scale: vector(105),
      shift: vector(106),
      eps: 0.5,
    },
    sizes: { C },
  },
  scaleShift: {
    step: {
      x: image(101),
      scale: vector(102),
      shift: vector(103),
      residual: image(104),
      residualScale: vector(105),
      residualShift: vector(106),
      y: image(107),
      relu: true,
      residualRelu: true,
    },
    sizes: { M, C },
  },
  batchNormBackwardSums: {
    step: {
      dy: image(101),
      x: image(102),
      weight: vector(103),
      mean: vector(104),
      invStd: vector(105),
      scale: vector(106),
      shift: vector(107),
      dweight: vector(108),
      dbias: vector(109),
      factors: slot(110, 3, C),
      running: true,
    },
    sizes: { M, C },
  },
  reluBackwardSums: {
    step: {
      dy: image(101),
      y: image(102),
      other: image(103),
      x: image(104),
      weight: vector(105),
      mean: vector(106),
      invStd: vector(107),
      g: image(108),
      dweight: vector(109),
      dbias: vector(110),
      factors: slot(111, 3, C),
      running: true,
    },
    sizes: { M, C },
  },
  batchNormBackwardInput: {
    step: {
      dy: image(101),
      x: image(102),
      mean: vector(103),
      factors: slot(104, 3, C),
      scale: vector(105),
      shift: vector(106),
      dx: image(107),
      cached: true,
    },
    sizes: { M, C },
  },
  relu: { step: { x: flat(101), y: flat(102) }, sizes: { count } },
  reluBackward: {
    step: { dy: flat(101), y: flat(102), other: flat(103), dx: flat(104) },
    sizes: { count },
  },
  add: { step: { a: flat(101), b: flat(102), y: flat(103) }, sizes: { count } },
  sigmoid: { step: { x: flat(101), y: flat(102) }, sizes: { count } },
  sigmoidBackward: { step: { dy: flat(101), y: flat(102), dx: flat(103) }, sizes: { count } },
  scaleChannels: {
    step: { x: image(101), s: slot(102, N, 1, 1, C), y: image(103) },
    sizes: { N, pixels: H * W, C },
  },
  scaleChannelsBackward: {
    step: { dy: image(101), x: image(102), ds: slot(103, N, 1, 1, C) },
    sizes: { N, pixels: H * W, C },
  },
  dropout: {
    step: { x: flat(101), randomness: slot(102, 4), y: flat(103), p: 0.75, layer: 3 },
    sizes: { count, threshold: -(2 ** 30), kept: 4 },
  },
  identityShortcut: {
    step: { x: image(101), y: output(102), stride },
    sizes: { N, H, W, C, OH, OW, K, before: 1 },
  },
  identityShortcutBackward: {
    step: { dy: output(101), dx: image(102), stride },
    sizes: { N, H, W, C, OH, OW, K, before: 1 },
  },
  maxPool2d: { step: { x: image(101), y: pooled(102), ...window }, sizes: poolSizes },
  maxPool2dBackward: {
    step: { dy: pooled(101), x: image(102), dx: image(103), ...window },
    sizes: poolSizes,
  },
  avgPool2d: {
    step: { x: image(101), y: pooled(102), ...window, countIncludePad: true },
    sizes: { ...poolSizes, averagesAreFloats: 1 },
  },
  avgPool2dBackward: {
    step: { dy: pooled(101), dx: image(102), ...window, countIncludePad: true },
    sizes: { ...poolSizes, averagesAreFloats: 1 },
  },
  adaptiveAvgPool2d: { step: { x: image(101), y: pooled(102) }, sizes: poolSizes },
  adaptiveAvgPool2dBackward: { step: { dy: pooled(101), dx: image(102) }, sizes: poolSizes },
  nhwcToNchw: { step: { x: image(101), y: slot(102, N, C, H, W) }, sizes: { N, A: H * W, B: C } },
  nchwToNhwc: { step: { x: slot(101, N, C, H, W), y: image(102) }, sizes: { N, A: C, B: H * W } },
  softmaxCrossEntropy: {
    step: { logits: logits(101), labels: slot(102, N), loss: slot(103, 1) },
    sizes: { N, K },
  },
  softmaxCrossEntropyBackward: {
    step: { dloss: slot(101, 1), logits: logits(102), labels: slot(103, N), dlogits: logits(104) },
    sizes: { N, K },
  },
  fill: { step: { y: flat(101), value: 0.25 }, sizes: { count } },
  sgd: {
    step: {
      parameter: flat(101),
      dparameter: flat(102),
      velocity: flat(103),
      hyper: slot(104, 3),
      momentum: 0.25,
      weightDecay: 0.5,
      nesterov: true,
    },
    sizes: { count },
  },
  adamW: {
    step: {
      parameter: flat(101),
      dparameter: flat(102),
      m: flat(103),
      v: flat(104),
      hyper: slot(105, 3),
      beta1: 0.25,
      beta2: 0.375,
      eps: 0.0625,
      weightDecay: 0.125,
    },
    sizes: { count, gain1: 0.75, gain2: 0.625 },
  },
};

/** `lr` is the first of the hyperparameters. */
const aliases: Readonly<Record<string, string>> = { lr: 'hyper' };

/** The word that C++ expects under this name. */
function expectedWord({ name, type }: KernelArgument, { step, sizes = {} }: Sample<StepKind>) {
  const fields = { ...step, ...sizes } as Readonly<Record<string, unknown>>;
  const value = fields[aliases[name] ?? name];
  if (type === 'slot') return (value as Slot).offset / slotAlignment;
  if (type === 'integer') return Number(value);
  const [number] = [value].flat() as [number];
  return new Int32Array(Float32Array.of(number).buffer)[0];
}

const planOf = (steps: readonly object[]) => ({ ...fillPlan(64), steps: steps as never });

test('the kinds of steps are the same in TypeScript and C++, in the same order', () => {
  assert.deepEqual(nativeOpcodes(), stepKinds);
});

for (const kind of stepKinds) {
  test(`${kind}: C++ reads each argument where TypeScript writes it`, () => {
    const [opcode, length, ...words] = encodeProgram(planOf([{ kind, ...samples[kind].step }]));
    const args = kernelArguments(kind);
    assert.equal(opcode, stepKinds.indexOf(kind));
    assert.equal(length, words.length);
    assert.deepEqual(
      args.map(({ name }, i) => `${name} ${words[i]}`),
      args.map((argument) => `${argument.name} ${expectedWord(argument, samples[kind])}`),
    );
    assert.equal(words.length, args.length);
  });
}

/** The opcode of a step whose tensors of these names are bfloat16. */
function opcodeWith(kind: StepKind, ...names: string[]): number {
  const fields: object = samples[kind].step;
  const step = Object.entries(fields).map(([name, value]: [string, unknown]) => [
    name,
    names.includes(name) ? { ...(value as Slot), dtype: 'bf16' } : value,
  ]);
  return encodeProgram(planOf([{ kind, ...Object.fromEntries(step) }]))[0]!;
}

test('with maps of bfloat16 a kind has another opcode, behind all kinds', () => {
  const behind = (kind: StepKind) => stepKinds.length + stepKinds.indexOf(kind);
  assert.equal(opcodeWith('conv2d', 'x', 'y'), behind('conv2d'));
  assert.equal(opcodeWith('adaptiveAvgPool2d', 'x'), behind('adaptiveAvgPool2d'));
  // Averages over a whole image are float32: the map decides.
  assert.equal(opcodeWith('avgPool2d', 'x'), behind('avgPool2d'));
  assert.equal(opcodeWith('avgPool2d', 'y'), stepKinds.indexOf('avgPool2d'));
  assert.equal(opcodeWith('avgPool2dBackward', 'dx'), behind('avgPool2dBackward'));
  assert.equal(opcodeWith('avgPool2dBackward', 'dy'), stepKinds.indexOf('avgPool2dBackward'));
});

test('a slot that is not there is -1', () => {
  const step = { kind: 'sgd', ...samples.sgd.step, velocity: null };
  assert.deepEqual([...encodeProgram(planOf([step]))].slice(2, 6), [101, 102, -1, 104]);
});

test('a tensor of more values than an index has bits for is refused', () => {
  assert.throws(
    () => encodeProgram(fillPlan(2 ** 33)),
    (error: PlusxError) => {
      assert.equal(error.code, 'too-large');
      assert.match(error.message, /2147483648 elements .* more than .* \(2\^31 - 1\)/);
      return true;
    },
  );
});

test('the planner cuts for the register tiles that the kernels have', () => {
  const header = readFileSync(path.join(packageRoot().root, 'native/kernels/conv/conv.h'), 'utf8');
  const rows = [...header.matchAll(/constexpr int kTilePixels = (\d+);/g)].map(([, count]) =>
    Number(count),
  );
  // 16 floats a vector, WebAssembly without relaxed SIMD, all others: in the order of conv.h.
  const sets = ['avx512', 'wasm128', 'avx2'];
  assert.deepEqual(
    sets.map((set) => capabilitiesOf(set).tileRows),
    rows,
  );
  for (const set of ['avx512-bf16', 'x86-64-v2', 'neon', 'generic', 'wasm128-relaxed']) {
    assert.equal(capabilitiesOf(set).tileRows, set.startsWith('avx512') ? rows[0] : rows[2]);
  }
});
