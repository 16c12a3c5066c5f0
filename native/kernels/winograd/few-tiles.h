// A panel's products of so few tiles that the first cache keeps them.
//
// A transformed weight meets each tile once: with four tiles, bringing it to the second-level cache and back
// takes longer than multiplying it. Here it never leaves the first cache. A few channels' weights are
// transformed and multiplied at once, and the sums wait in memory for the next channels'.
#pragma once
#include <type_traits>

#include "blocks.h"

namespace plusx::PLUSX_ISA {

// Whether tiles are so few. Of stride 2 there are 81 products: too many. In WebAssembly an image takes 1.12
// times as long.
template <typename Tiling>
bool multipliesFewTiles(const WinogradPass<float>& pass, const Block& block) {
  constexpr bool kWorthwhile = std::is_same_v<Tiling, Stride1> && kDirectsCaches;
  return kWorthwhile && block.count <= kFewTiles && pass.inC % kFewChannels == 0;
}

// Sums of a panel: (position, tile, lane).
constexpr int64_t kFewSums = int64_t{kFilters} * kFilters * kFewTiles * kPanel;

// sums(position, tile, lane) += inputs · weights over kFewChannels channels. Where a run of the reduction
// ends, the sums are added to the products instead, and begin anew.
template <bool Ends>
__attribute__((noinline)) static void multiplyFewChannels(const Block& block, const float* inputs,
                                                          const float* staged, float* sums,
                                                          float* products) {
  for (int position = 0; position < kPositions<Stride1>; ++position) {
    Vector acc[kFewTiles][2];
#pragma GCC unroll 4
    for (int t = 0; t < kFewTiles; ++t) {
      acc[t][0] = load(sums + t * kPanel);
      acc[t][1] = load(sums + t * kPanel + kWidth);
    }
#pragma GCC unroll 4
    for (int c = 0; c < kFewChannels; ++c) {
      const Vector w0 = load(staged + c * kPanel), w1 = load(staged + c * kPanel + kWidth);
#pragma GCC unroll 4
      for (int t = 0; t < kFewTiles; ++t) {
        const auto x = broadcastOf(inputs + t * kChunk + c);
        multiplyAdd(acc[t][0], x, w0);
        multiplyAdd(acc[t][1], x, w1);
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < kFewTiles; ++t) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const int at = t * kPanel + half * kWidth;
        if (Ends) store(products + at, load(products + at) + acc[t][half]);
        store(sums + at, Ends ? Vector{} : acc[t][half]);
      }
    }
    inputs += block.inputStride;
    staged += kStagedStride<kFewChannels>;
    sums += kFewTiles * kPanel;
    products += block.productStride;
  }
}

// products(position, tile, lane) of a panel; `room`: what kFewChannels take when staged, and kFewSums.
static inline void multiplyFewTiles(const WinogradPass<float>& pass, const Block& block, int32_t panel,
                                    const float* inputs, float* room, float* products) {
  float* staged = room;
  float* sums = staged + kFilters * kFilters * kStagedStride<kFewChannels>;
  __builtin_memset(sums, 0, sizeof(float) * kFewSums);
  for (int position = 0; position < kPositions<Stride1>; ++position) {
    __builtin_memset(products + position * block.productStride, 0, sizeof(float) * kFewTiles * kPanel);
  }
  for (int32_t c = 0; c < pass.inC; c += kFewChannels) {
    transformStage<Stride1, kFewChannels>(pass.packed, pass.inC, panel, c, kFewChannels, staged);
    const float* run = inputs + int64_t{c / kChunk} * kTilePixels * kChunk + c % kChunk;
    const int32_t next = c + kFewChannels;
    if (next % kRunTerms == 0 || next == pass.inC) {
      multiplyFewChannels<true>(block, run, staged, sums, products);
    } else {
      multiplyFewChannels<false>(block, run, staged, sums, products);
    }
  }
}

}  // namespace plusx::PLUSX_ISA
