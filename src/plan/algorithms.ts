/**
 * How each convolution is computed, how its work is cut, and the scratch memory that this takes:
 * decided from its shape and from what the backend can do, before anything runs. The kernels follow.
 */
import type { Capabilities } from '../backend/backend.js';
import type { ConvAlgorithm, ConvCut } from './plan.js';

/** A convolution's sizes, in the alphabet of graph.ts. */
export interface ConvSizes {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly C: number;
  readonly K: number;
  readonly R: number;
  readonly S: number;
  readonly OH: number;
  readonly OW: number;
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
}

export type ConvPass =
  'conv2d' | 'conv2dInference' | 'conv2dBackwardInput' | 'conv2dBackwardWeight';

export interface ConvChoice {
  readonly algorithm: ConvAlgorithm;
  readonly cut: ConvCut;
  readonly workspaceBytes: number;
}

/** The cheapest by estimate of those that the backend offers and that fit the shape. */
export function chooseConvAlgorithm(
  pass: ConvPass,
  sizes: ConvSizes,
  { convAlgorithms, convInOrder = false, forAnyBatch = false, tileRows = 14 }: Capabilities,
): ConvChoice {
  const fitting = convAlgorithms.filter((name) => algorithms[name].fits(pass, sizes, tileRows));
  if (!convInOrder) {
    const estimated = forAnyBatch ? { ...sizes, N: usualBatch } : sizes;
    const cost = new Map(fitting.map((name) => [name, algorithms[name].cost(pass, estimated)]));
    fitting.sort((a, b) => cost.get(a)! - cost.get(b)!);
  }
  const [algorithm] = fitting;
  if (!algorithm) throw new Error('internal: the backend offers no convolution of this shape');
  const { cut, bytes } = algorithms[algorithm];
  const chosen = cut(pass, sizes, tileRows);
  return { algorithm, cut: chosen, workspaceBytes: bytes(pass, sizes, chosen) };
}

interface Algorithm {
  readonly fits: (pass: ConvPass, sizes: ConvSizes, tileRows: number) => boolean;
  /** Multiply-adds of one core at its best that take as long. */
  readonly cost: (pass: ConvPass, sizes: ConvSizes) => number;
  readonly cut: (pass: ConvPass, sizes: ConvSizes, tileRows: number) => ConvCut;
  /** Of the workspace. */
  readonly bytes: (pass: ConvPass, sizes: ConvSizes, cut: ConvCut) => number;
}

/** What a plan for any batch is estimated for: in between what is served and what is evaluated. */
const usualBatch = 8;

/** Nothing is cut: the kernel finds its own way. */
const uncut: ConvCut = { partials: 1, blockTiles: 0, blockChannels: 0, splits: 1 };

const algorithms: Readonly<Record<ConvAlgorithm, Algorithm>> = {
  direct: { fits: () => true, cost: gemmCost, cut: () => uncut, bytes: () => 0 },
  gemm: { fits: ungrouped, cost: gemmCost, cut: gemmCut, bytes: gemmBytes },
  winograd: { fits: winogradFits, cost: winogradCost, cut: winogradCut, bytes: winogradBytes },
  grouped: { fits: isGrouped, cost: gemmCost, cut: gemmCut, bytes: groupedBytes },
};

// Implicit matrix product ----------------------------------------------------------------------

function gemmCut(pass: ConvPass, sizes: ConvSizes): ConvCut {
  if (pass === 'conv2dBackwardWeight') return { ...uncut, partials: weightPartials(sizes) };
  if (pass !== 'conv2dInference') return uncut;
  // Small images have few blocks of 112 pixels: output channels are cut too, down to 64.
  const blocks = Math.ceil((sizes.N * sizes.OH * sizes.OW) / 112);
  return { ...uncut, splits: splitsOf(blocks, Math.floor(sizes.K / 64)) };
}

/** Among how many tasks a block's output channels are shared so that there are so many in all. */
function splitsOf(blocks: number, most: number, tasks = 16): number {
  return Math.max(1, Math.min(Math.ceil(tasks / blocks), most));
}

function gemmBytes(pass: ConvPass, { C, K, R, S }: ConvSizes, cut: ConvCut): number {
  switch (pass) {
    case 'conv2dInference':
      return 0;
    case 'conv2d':
      return packedWeightBytes(K, C, R * S);
    case 'conv2dBackwardInput':
      return packedWeightBytes(C, K, R * S);
    case 'conv2dBackwardWeight':
      return cut.partials * roundUp(K, 32) * R * S * C * 4;
  }
}

/** Weights as the kernel reads them: output channels in panels of 32, reduction in groups of 16. */
function packedWeightBytes(outputs: number, reduction: number, taps: number): number {
  return roundUp(outputs, 32) * taps * roundUp(reduction, 16) * 4;
}

/**
 * In how many partial sums the gradient of a weight is collected: enough to keep threads busy,
 * never more than 64 MiB. By shape alone, so that the bits do not depend on the threads.
 */
function weightPartials({ N, OH, OW, K, R, S, C, groups }: ConvSizes): number {
  const bySize = Math.floor((64 * 2 ** 20) / (((K * R * S * C) / groups) * 4));
  return Math.max(1, Math.min(16, Math.ceil((N * OH * OW) / 4096), bySize));
}

// Groups of channels -------------------------------------------------------------------------------

function ungrouped(_pass: ConvPass, { groups }: ConvSizes): boolean {
  return groups === 1;
}

function isGrouped(_pass: ConvPass, { groups }: ConvSizes): boolean {
  return groups > 1;
}

/**
 * Weights as the kernel reads them, a vector of output channels side by side. A vector holds whole
 * groups, or a part of one: of its lanes more than half are used. Gradients need none: their
 * partial sums lie as (R·S·C/groups, K).
 */
function groupedBytes(pass: ConvPass, { C, K, R, S, groups }: ConvSizes, cut: ConvCut): number {
  const [inputs, outputs] = pass === 'conv2dBackwardInput' ? [K, C] : [C, K];
  const filter = (R * S * inputs) / groups;
  if (pass === 'conv2dBackwardWeight') return cut.partials * filter * outputs * 4;
  return filter * (2 * outputs + widestVector) * 4;
}

const widestVector = 16;

// Winograd, 4×4 outputs (of stride 2 backwards, 8×8) at a time ------------------------------------

/** Transformed filters of a pair of channels. */
const filters = 36;
/** What a thread's own scratch memory holds, in floats (`kThreadScratchBytes`), less the margins. */
const scratchFloats = 2 ** 21 - 4096;
/** Rows of the register tiles that there are. */
const registerTiles = [14, 6, 5];
/** Input channels whose weights a task transforms at a time (`kStagedChannels`). */
const stagedChannels = 64;

interface Tiling {
  /** Products of a channel in a tile. */
  readonly products: number;
  /** Tiles, about, whose transforms share the second-level cache with a panel of weights. */
  readonly passTiles: number;
  readonly weightTiles: number;
}

/** By stride. */
const tilings: Readonly<Record<number, Tiling>> = {
  1: { products: 36, passTiles: 28, weightTiles: 48 },
  2: { products: 81, passTiles: 14, weightTiles: 32 },
};

function winogradFits(pass: ConvPass, sizes: ConvSizes, tileRows: number): boolean {
  const { R, S, stride, padding, groups } = sizes;
  if (groups > 1 || R !== 3 || S !== 3) return false;
  if (!(stride === 1 && padding <= 2) && !(stride === 2 && padding === 1)) return false;
  return winogradCut(pass, sizes, tileRows).blockTiles > 0;
}

/** Of the pass's own outputs. */
export function winogradTiles(pass: ConvPass, { N, H, W, OH, OW, stride }: ConvSizes): number {
  const backward = pass === 'conv2dBackwardInput';
  const [height, width, tile] = backward ? [H, W, 4 * stride] : [OH, OW, 4];
  return N * Math.ceil(height / tile) * Math.ceil(width / tile);
}

function winogradCut(pass: ConvPass, sizes: ConvSizes, tileRows: number): ConvCut {
  const tiles = winogradTiles(pass, sizes);
  const { C, K, stride } = sizes;
  const { products, passTiles, weightTiles } = tilings[stride]!;
  if (pass === 'conv2dBackwardWeight') {
    const blockChannels = 128;
    const [inputs, outputs] = [C, K].map((count) =>
      Math.min(blockChannels, roundUp(count, 32)),
    ) as [number, number];
    const sums = filters * inputs * outputs;
    const fit = Math.floor((scratchFloats - sums) / (products * (inputs + outputs)));
    const tasks = Math.ceil(C / blockChannels) * Math.ceil(K / blockChannels);
    const partials = Math.max(1, Math.min(Math.ceil(8 / tasks), Math.floor(tiles / weightTiles)));
    const largest = Math.min(weightTiles, fit - (fit % 2));
    // Of bfloat16 two tiles lie side by side.
    const blockTiles = roundUp(evenShare(tiles / partials, largest), 2);
    return { partials, blockTiles, blockChannels, splits: 1 };
  }
  const [inputs, outputs] = pass === 'conv2dBackwardInput' ? [K, C] : [C, K];
  const staged = pass === 'conv2dInference' ? filters * stagedChannels * 32 : 0;
  const perTile = products * (roundUp(inputs, 16) + 32);
  const fit = Math.floor((scratchFloats - staged) / perTile / tileRows) * tileRows;
  // Whole register tiles: of six rows, blocks of 30 take less time a tile than those of 28.
  const whole = (count: number) => Math.round(count / tileRows) * tileRows;
  // One image has few tiles: smaller blocks share them evenly, where the second-level cache keeps the
  // weights from one block to the next.
  const shared = pass === 'conv2dInference' && tiles < 8 * passTiles && staysCached(sizes);
  const largest = Math.min(whole(shared ? 14 : passTiles), fit, roundUp(tiles, tileRows));
  // The last block is no smaller than the others, where there are few.
  const blockTiles = pass === 'conv2dInference' ? evenShare(tiles, largest) : largest;
  // Blocks that are too few to share are cut by output channels too, down to 128: each part
  // transforms the inputs anew. In training that costs more than it gains beyond ten tasks; in
  // inference four tasks are worth parts of 64.
  const blocks = Math.ceil(tiles / blockTiles);
  const partsOf = (channels: number, tasks: number) =>
    splitsOf(blocks, Math.floor(outputs / channels), tasks);
  const splits =
    pass === 'conv2dInference' ? Math.max(partsOf(128, 16), partsOf(64, 4)) : partsOf(128, 10);
  const blockChannels = multipliesPanels(pass, sizes) ? stagedChannels : 0;
  return { partials: 1, blockTiles, blockChannels, splits };
}

/**
 * How many there are in each of as few parts as there can be, of about the same size and at most `most`: a
 * part has its cost however few are in it. 0 where not one fits.
 */
export function evenShare(count: number, most: number): number {
  return most < 1 ? 0 : Math.ceil(count / Math.ceil(count / most));
}

/**
 * Whether a training pass goes panel by panel of its output channels: where the products of a panel, of
 * all tiles, share the second-level cache with a panel's weights, and where there are panels enough for
 * the threads.
 */
function multipliesPanels(pass: ConvPass, sizes: ConvSizes): boolean {
  if (pass === 'conv2dInference') return false;
  const outputs = pass === 'conv2dBackwardInput' ? sizes.C : sizes.K;
  const { products } = tilings[sizes.stride]!;
  return winogradTiles(pass, sizes) * products * 32 * 4 <= 640 * 2 ** 10 && outputs >= 8 * 32;
}

function winogradBytes(pass: ConvPass, sizes: ConvSizes, cut: ConvCut): number {
  const { C, K, stride } = sizes;
  const [inputs, outputs] = pass === 'conv2dBackwardInput' ? [K, C] : [C, K];
  if (pass === 'conv2dInference') return 0;
  if (pass === 'conv2dBackwardWeight') {
    return cut.partials > 1 ? cut.partials * K * 9 * C * 4 : 0;
  }
  if (cut.blockChannels > 0) {
    // The inputs' transforms: of a block, as many as fill its register tiles, and a line behind each
    // run of a position's channels.
    const room = Math.max(
      ...registerTiles.map((width) => {
        const groups = Math.ceil(cut.blockTiles / width);
        return groups * (width * stagedChannels + 16);
      }),
    );
    const blocks = Math.ceil(winogradTiles(pass, sizes) / cut.blockTiles);
    const runs = Math.ceil(inputs / stagedChannels);
    return blocks * runs * tilings[stride]!.products * room * 4;
  }
  return transformedBytes({ C: inputs, K: outputs });
}

/** Partial statistics that a convolution's epilogue leaves: one for each block of tiles. */
export function statisticsBlocks(sizes: ConvSizes, { blockTiles }: ConvCut): number {
  return blockTiles > 0 ? Math.ceil(winogradTiles('conv2d', sizes) / blockTiles) : 1;
}

/**
 * Whether weights that stay as they are are transformed once. Transformed they are four times as
 * large: those that do not stay in a cache are transformed by each block of tiles as it needs them,
 * which takes less time than to fetch them.
 */
export function transformsOnce(sizes: Pick<ConvSizes, 'C' | 'K'>): boolean {
  return transformedBytes(sizes) <= 4 * 2 ** 20;
}

/** Whether transformed weights stay in a core's second-level cache, beside a block of tiles. */
function staysCached(sizes: ConvSizes): boolean {
  return transformedBytes(sizes) <= 640 * 2 ** 10;
}

function transformedBytes({ C, K }: Pick<ConvSizes, 'C' | 'K'>): number {
  return filters * roundUp(K, 32) * roundUp(C, 16) * 4;
}

// Costs, in multiply-adds of one core at its best. Measured with AVX-512, at 50·10⁹ multiply-adds a
// second: a tile's transforms take 10 ns a channel, 30 ns where it is 8 pixels wide; a weight's 12 ns
// through main memory, 6 ns where a panel's task needs it, packed (in each block of tiles) 2 ns; its
// gradient's 6 ns. Packed for the implicit product, or its sums unpacked, it takes 0.8 ns a tap.

const perWeight = 600;
const perPanelWeight = 300;
const perPackedWeight = 100;
const perGradient = 300;
const perTap = 40;

function winogradCost(pass: ConvPass, sizes: ConvSizes): number {
  const C = roundUp(sizes.C, 16);
  const K = roundUp(sizes.K, 16);
  const { products } = tilings[sizes.stride]!;
  const tiles = winogradTiles(pass, sizes);
  const perInput = sizes.stride === 1 ? 500 : 1500;
  return tiles * (products * C * K + perInput * C + 500 * K) + transformCost(pass, sizes) * C * K;
}

/** Of a weight: once in a run, or, where it stays as it is, never or in each block of tiles. */
function transformCost(pass: ConvPass, sizes: ConvSizes): number {
  if (pass === 'conv2dBackwardWeight') return perGradient;
  if (pass !== 'conv2dInference') return multipliesPanels(pass, sizes) ? perPanelWeight : perWeight;
  const { passTiles } = tilings[sizes.stride]!;
  const blocks = Math.ceil(winogradTiles(pass, sizes) / passTiles);
  return transformsOnce(sizes) ? 0 : perPackedWeight * blocks;
}

function gemmCost(pass: ConvPass, { N, OH, OW, C, K, R, S, groups }: ConvSizes): number {
  const ofWeight = pass === 'conv2dInference' ? 0 : perTap;
  return ((N * OH * OW + ofWeight) * roundUp(K, 16) * R * S * C) / groups;
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
