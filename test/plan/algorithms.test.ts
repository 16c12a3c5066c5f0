/** Which algorithm a convolution gets: fixed by its shape, so that it can be told in advance. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { capabilitiesOf, kernelCapabilities } from '../../src/backend/program.js';
import {
  chooseConvAlgorithm,
  winogradTiles,
  type ConvPass,
  type ConvSizes,
} from '../../src/plan/algorithms.js';

const passes: readonly ConvPass[] = ['conv2d', 'conv2dBackwardInput', 'conv2dBackwardWeight'];

/** A 3×3 convolution of square images. */
function sizesOf(N: number, H: number, C: number, K: number, stride: number, padding = 1) {
  const OH = Math.floor((H + 2 * padding - 3) / stride) + 1;
  return { N, H, W: H, C, K, R: 3, S: 3, OH, OW: OH, stride, padding, groups: 1 };
}

const chosen = (sizes: ConvSizes) =>
  passes.map((pass) => chooseConvAlgorithm(pass, sizes, kernelCapabilities).algorithm);

test("the article's 3×3 layers are filtered with the fewest multiplications, at either stride", () => {
  for (const stride of [1, 2]) {
    for (const [H, C] of [
      [224, 64],
      [112, 128],
      [56, 256],
    ] as const) {
      assert.deepEqual(
        new Set(chosen(sizesOf(8, H, C, C * stride, stride))),
        new Set(['winograd']),
      );
    }
  }
});

test('a single tile does not pay for transformed weights, nor few channels for transformed tiles', () => {
  assert.equal(chosen(sizesOf(1, 8, 128, 256, 2))[1], 'gemm');
  assert.deepEqual(new Set(chosen(sizesOf(1, 7, 512, 512, 1))), new Set(['winograd']));
  assert.deepEqual(new Set(chosen(sizesOf(32, 224, 3, 16, 2))), new Set(['gemm']));
});

test('few tiles and many weights go panel by panel', () => {
  const panels = (sizes: ConvSizes) =>
    passes
      .map((pass) => chooseConvAlgorithm(pass, sizes, kernelCapabilities))
      .map(({ algorithm, cut }) => algorithm === 'winograd' && cut.blockChannels === 64);
  assert.deepEqual(panels(sizesOf(8, 7, 512, 512, 1)), [true, true, false]);
  assert.deepEqual(panels(sizesOf(32, 8, 512, 512, 1)), [true, true, false]);
  // Too many products for a cache, too few panels for the threads.
  assert.deepEqual(panels(sizesOf(8, 28, 512, 512, 1)), [false, false, false]);
  assert.deepEqual(panels(sizesOf(8, 8, 128, 128, 1)), [false, false, false]);
});

test('one image is shared among tasks, but many weights are read by few of them', () => {
  const cutOf = (side: number, channels: number) => {
    const sizes = sizesOf(1, side, channels, channels, 1);
    const { cut } = chooseConvAlgorithm('conv2dInference', sizes, kernelCapabilities);
    return [cut.blockTiles, cut.splits];
  };
  // A core's second-level cache keeps 0.6 MB of transformed weights from block to block, not 2.4.
  assert.deepEqual(cutOf(56, 64), [14, 1]);
  assert.deepEqual(cutOf(28, 128), [25, 2]);
  assert.deepEqual(cutOf(14, 256), [16, 4]);
  assert.deepEqual(cutOf(7, 512), [4, 4]);
});

test('blocks of tiles are whole register tiles of the instruction set', () => {
  const blocks = (instructionSet: string) =>
    [1, 2].map((stride) => {
      const sizes = sizesOf(32, 64, 64, 64, stride);
      const { cut } = chooseConvAlgorithm('conv2d', sizes, capabilitiesOf(instructionSet));
      return cut.blockTiles;
    });
  assert.deepEqual(blocks('avx512'), [28, 14]);
  assert.deepEqual(blocks('avx2'), [30, 12]);
  assert.deepEqual(blocks('wasm128-relaxed'), [30, 12]);
  assert.deepEqual(blocks('wasm128'), [30, 15]);
});

test("a weight's gradient sums over blocks of about the same size", () => {
  const sizes = sizesOf(32, 32, 128, 128, 1);
  const { cut } = chooseConvAlgorithm('conv2dBackwardWeight', sizes, kernelCapabilities);
  // 256 tiles for each of 8 partial sums, not five blocks of 48 and one of 16.
  assert.deepEqual([cut.partials, cut.blockTiles], [8, 44]);
});

test('of stride 2, only padding 1 is taken apart', () => {
  assert.deepEqual(new Set(chosen(sizesOf(8, 56, 256, 512, 2, 0))), new Set(['gemm']));
});

test('a tile is 4×4 outputs; backwards over stride 2 it is 8×8, the inputs that they come from', () => {
  const tiles = (sizes: ConvSizes) => passes.map((pass) => winogradTiles(pass, sizes));
  assert.deepEqual(tiles(sizesOf(1, 16, 1, 1, 1)), [16, 16, 16]);
  assert.deepEqual(tiles(sizesOf(1, 16, 1, 1, 2)), [4, 4, 4]);
  assert.deepEqual(tiles(sizesOf(1, 17, 1, 1, 2)), [9, 9, 9]);
});
