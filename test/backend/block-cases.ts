/**
 * What blocks other than the plain residual one are made of: squeeze-and-excitation, dropout, the
 * shortcut without parameters, windows that are cut off or differ in size.
 */
import { dropoutWords } from '../../src/random/philox.js';
import { coarse, describe, signed, type Drawn, type StepCase } from './step-case.js';

const none = {};

/** Not drawn, but given: what a session feeds. */
function randomness(seed: number, step: number): Drawn {
  const words = dropoutWords(seed, step).values();
  return { shape: [4], dtype: 'i32', draw: () => words.next().value! };
}

/** Elements: a word alone, blocks that are cut off, several tasks. */
function dropoutCases(): StepCase[] {
  return [1, 3, 63, 64, 65, 40_001].map((count) =>
    describe({
      op: 'dropout',
      sizes: `of ${count}`,
      inputs: [signed(count), randomness(7 + 2 ** 40, 2 ** 32 + count)],
      attributes: { p: count % 2 === 0 ? 0.5 : 0.3, layer: 5 },
    }),
  );
}

/** N, H, W, C, OH, OW */
const adaptive = [
  [1, 1, 1, 1, 1, 1],
  [2, 5, 7, 17, 2, 3],
  [1, 2, 3, 16, 7, 7],
] as const;

/** N, H, W, C, R, stride, padding, countIncludePad: `ceilMode` takes a last window of a part. */
const partial = [
  [2, 5, 7, 17, 2, 2, 0, false],
  [1, 5, 7, 3, 3, 2, 1, true],
  [1, 6, 7, 16, 3, 2, 1, false],
] as const;

/** N, H, W, C, K, stride */
const shortcuts = [
  [1, 1, 1, 1, 1, 1],
  [2, 5, 7, 16, 32, 2],
  [1, 6, 9, 3, 20, 3],
] as const;

/** AlexNet's windows, which overlap and leave the last row and column out. */
const overlapping = { kernelHeight: 3, kernelWidth: 3, stride: 2, padding: 0 };

export function blockCases(): StepCase[] {
  return [
    ...dropoutCases(),
    describe({
      op: 'maxPool2d',
      sizes: '2×8×7×17, 3×3, stride 2',
      inputs: [coarse(2, 8, 7, 17)],
      attributes: overlapping,
    }),
    describe({
      op: 'maxPool2dBackward',
      sizes: '2×8×7×17, 3×3, stride 2',
      inputs: [signed(2, 3, 3, 17), coarse(2, 8, 7, 17)],
      attributes: overlapping,
      reduction: 4,
    }),
    ...[1, 15, 17, 100].flatMap((count) => [
      describe({
        op: 'sigmoid',
        sizes: `of ${count}`,
        inputs: [{ ...signed(count), draw: (random) => random.uniform(-100, 100) }],
        attributes: none,
      }),
      describe({
        op: 'sigmoidBackward',
        sizes: `of ${count}`,
        inputs: [signed(count), { ...signed(count), draw: (random) => random.uniform() }],
        attributes: none,
      }),
    ]),
    ...[1, 3, 16, 17, 65].flatMap((C) => {
      const [x, sizes] = [signed(2, 5, 7, C), `2×5×7×${C}`];
      return [
        describe({
          op: 'scaleChannels',
          sizes,
          inputs: [x, signed(2, 1, 1, C)],
          attributes: none,
        }),
        describe({
          op: 'scaleChannelsBackward',
          sizes,
          inputs: [x, x],
          attributes: none,
          reduction: 35,
        }),
      ];
    }),
    ...shortcuts.flatMap(([N, H, W, C, K, stride]) => {
      const sizes = `${N}×${H}×${W}×${C} to ${K}, stride ${stride}`;
      const dy = signed(N, Math.ceil(H / stride), Math.ceil(W / stride), K);
      return [
        describe({
          op: 'identityShortcut',
          sizes,
          inputs: [signed(N, H, W, C)],
          attributes: { stride, outChannels: K },
        }),
        describe({
          op: 'identityShortcutBackward',
          sizes,
          inputs: [dy],
          attributes: { stride, inputHeight: H, inputWidth: W, inputChannels: C },
        }),
      ];
    }),
    ...adaptive.flatMap(([N, H, W, C, OH, OW]) => {
      const sizes = `${N}×${H}×${W}×${C} to ${OH}×${OW}`;
      return [
        describe({
          op: 'adaptiveAvgPool2d',
          sizes,
          inputs: [signed(N, H, W, C)],
          attributes: { outputHeight: OH, outputWidth: OW },
          reduction: 2 * H * W,
        }),
        describe({
          op: 'adaptiveAvgPool2dBackward',
          sizes,
          inputs: [signed(N, OH, OW, C)],
          attributes: { inputHeight: H, inputWidth: W },
          reduction: 2 * OH * OW,
        }),
      ];
    }),
    ...partial.flatMap(([N, H, W, C, R, stride, padding, countIncludePad]) => {
      const sizes = `${N}×${H}×${W}×${C}, ${R}×${R}, stride ${stride}, padding ${padding}, cut off`;
      const window = { kernelHeight: R, kernelWidth: R, stride, padding };
      const attributes = { ...window, ceilMode: true, countIncludePad };
      const windows = (size: number) => Math.ceil((size + 2 * padding - R) / stride) + 1;
      return [
        describe({
          op: 'avgPool2d',
          sizes,
          inputs: [signed(N, H, W, C)],
          attributes,
          reduction: R * R,
        }),
        describe({
          op: 'avgPool2dBackward',
          sizes,
          inputs: [signed(N, windows(H), windows(W), C)],
          attributes: { ...attributes, inputHeight: H, inputWidth: W },
          reduction: R * R,
        }),
      ];
    }),
  ];
}
