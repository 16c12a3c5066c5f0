// Winograd's minimal filtering for 3×3 convolutions of stride 1 and 2, on tiles of 4×4 outputs: 36 or
// 81 multiplications of a channel instead of 144.
//
//   y  = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A      d: inputs, g: 3×3 weights, y: 4×4 outputs
//   dg = Gᵀ[(Bᵀ d B) ⊙ (A dy Aᵀ)]G     the gradient of the weight, summed over tiles
//
// The element-wise products, summed over channels (or tiles), are independent matrix products: one
// for each of 36 transformed filters. A task transforms a block of tiles, multiplies and transforms
// back while all of it lies in its core's cache: nothing of the Winograd domain but the weights ever
// reaches main memory. What differs between the strides is in transforms.h.
//
// Sources: Lavin and Gray 2015, arXiv 1509.09308; Zlateski et al. 2019, arXiv 1912.02165 (blocks that
// stay in the cache).
#pragma once
#include "kernels/conv/conv.h"
#include "tiles.h"
#include "transforms.h"

namespace plusx::PLUSX_ISA {

// Input channels whose weights a task transforms at a time (`stagedChannels` of algorithms.ts): with
// the inputs, or the products, they fill the second-level cache.
constexpr int kStagedChannels = 64;
// Tiles of which the products of a panel stay in the first cache, and channels whose weights find room there
// beside them.
constexpr int kFewTiles = 4;
constexpr int kFewChannels = 4;
// Between the filters of so many staged channels, a line added as in a pass's blocks.
template <int Channels>
constexpr int64_t kStagedStride = Channels * kPanel + kChunk;

// One pass that reads (N, inH, inW, inC) and writes (N, outH, outW, outC): forward, or
// backward-input with the roles of C and K exchanged and the weights turned by 180°. The first tile
// begins `padding` before the first input.
template <typename Map>
struct WinogradPass {
  const Map* in;
  int32_t N, inH, inW, inC;
  Map* out;
  int32_t outH, outW, outC;
  int32_t padding;
  // (outC/kPanel, 36, inC rounded up to kChunk, kPanel), see packWinograd*.
  const Factor<Map>* weights;
  Prologue prologue;
  // (blocks, 3, outC) or null: count, mean and sum of squared deviations of a block's outputs.
  float* statistics;
  // Tiles a task, and in how many tasks the output channels of a block are cut.
  int32_t blockTiles, channelSplits;
  // As packWeight leaves them; where `weights` is null, a task transforms those that it needs.
  const float* packed = nullptr;
  Epilogue epilogue = {};
};

template <typename Tiling, typename Map>
void runWinograd(const WinogradPass<Map>& pass, Pool* pool);


// weight (K,3,3,C) → G g Gᵀ for forward, reduced over C.
template <typename Tiling, typename Factor>
void packWinogradForward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool);
// From weights that packWeight has packed: a panel's, channels first .. first + count, to `staged`
// (36, Channels, kPanel), a line between filters; zero beyond the last, which few channels do not reach.
template <typename Tiling, int Channels>
void transformStage(const float* packed, int32_t C, int32_t panel, int32_t first, int32_t count,
                    float* staged);
// The same turned by 180°, reduced over K.
template <typename Tiling, typename Factor>
void packWinogradBackward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool);

// A weight as it is, of which a task transforms what it needs.
struct StagedWeights {
  const float* weight;  // (K,3,3,C)
  int32_t K, C;
  bool backward;  // turned by 180°, reduced over K
};

// Room for the taps of a panel and a chunk of the reduction: (kChunk, 9, kPanel).
constexpr int64_t kChunkTaps = kChunk * 9 * kPanel;

// A panel's filters, steps first .. first + count of the reduction, to `staged` (36, kStagedChannels,
// kPanel), a line between filters. `room`: kChunkTaps.
template <typename Tiling, typename Factor>
void stageWeights(const StagedWeights& weights, int32_t panel, int32_t first, int32_t count,
                  float* room, Factor* staged);

// The same pass where tiles are few: see panels.cpp. `inputs`: room for all tiles' transforms, in which
// each of them takes kTilePixels / groupTiles places (`winogradBytes` of algorithms.ts).
template <typename Tiling, typename Map>
void runWinogradPanels(const WinogradPass<Map>& pass, const StagedWeights& weights,
                       Factor<Map>* inputs, Pool* pool);

// How the sum over tiles is cut: into `partials` ranges of tiles, and the channels into blocks;
// within a range `blockTiles` at a time.
struct WinogradWeightCut {
  int32_t partials, blockTiles, blockC, blockK;
};

// dweight (K,3,3,C) from x and dy, or the same added to it. `workspace`: (partials, K, 3, 3, C) where there
// are several.
template <typename Tiling, typename Map>
void runWinogradWeight(const ConvShape& shape, const Map* x, const Prologue& prologue,
                       const Map* dy, float* dweight, bool accumulate, float* workspace,
                       const WinogradWeightCut& cut, Pool* pool);

}  // namespace plusx::PLUSX_ISA
