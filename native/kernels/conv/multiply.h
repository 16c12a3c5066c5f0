// The register tile of every matrix product here: pixels (or tiles) × output channels.
//
//   out(row, o) = Σ_i tile(i / 16, row, i % 16) panel(i, o), or out(row, o) + the same
//
// `tile` lies in chunks of kChunk steps of the reduction for kTilePixels rows, so that the kernel
// reads all rows through one pointer and constant displacements; `panel` is (reduction, kPanel), of
// bfloat16 factors (reduction/2, kPanel, 2).
#pragma once
#include "conv.h"

namespace plusx::PLUSX_ISA {

// Terms that are summed one after the other: a longer reduction is a sum of such sums. What a sum of n
// terms errs grows with √n, and Winograd's transforms enlarge it: with 512 channels in one go a
// convolution errs 2.5 times as much.
constexpr int32_t kRunTerms = 64;

// 2·Rows accumulators stay in registers; look at the disassembly when changing it.
template <int Rows, bool Accumulate, typename Factor>
__attribute__((noinline)) void multiplyTile(const Factor* tile, const Factor* panel,
                                            int32_t reduction, float* out) {
  constexpr int kStep = kSteps<Factor>;
  for (int32_t run = 0; run < reduction; run += kRunTerms) {
    const int32_t terms = reduction - run < kRunTerms ? reduction - run : kRunTerms;
    Vector acc[Rows][2] = {};
    for (int32_t chunk = 0; chunk < terms; chunk += kChunk) {
#pragma GCC unroll 2
      for (int c = 0; c < kChunk; c += kStep) {
        const Factor* column = tile + c;
        column = opaque(column);
        panel = opaque(panel);
        const auto w0 = lanesOf(panel), w1 = lanesOf(panel + kWidth * kStep);
#pragma GCC unroll 16
        for (int t = 0; t < Rows; ++t) {
          const auto x = broadcastOf(column + t * kChunk);
          multiplyAdd(acc[t][0], x, w0);
          multiplyAdd(acc[t][1], x, w1);
        }
        panel += kPanel * kStep;
      }
      tile += kTilePixels * kChunk;
    }
    out = opaque(out);
    if (Accumulate || run > 0) {
#pragma GCC unroll 16
      for (int t = 0; t < Rows; ++t) {
        acc[t][0] += load(out + t * kPanel);
        acc[t][1] += load(out + t * kPanel + kWidth);
      }
    }
#pragma GCC unroll 16
    for (int t = 0; t < Rows; ++t) {
      store(out + t * kPanel, acc[t][0]);
      store(out + t * kPanel + kWidth, acc[t][1]);
    }
  }
}

// `rows` of a tile exist: with four of them, or with little more than a half, it takes less time. Rows
// beyond are undefined.
template <bool Accumulate = false, typename Factor>
static inline void multiplyRows(int32_t rows, const Factor* tile, const Factor* panel,
                                int32_t reduction, float* out) {
  constexpr int kHalf = (kTilePixels + 3) / 4 * 2, kFew = kTilePixels < 4 ? kTilePixels : 4;
  if (rows <= kHalf && (rows > kFew || kHalf < kFew)) {
    multiplyTile<kHalf, Accumulate>(tile, panel, reduction, out);
  } else if (rows <= kFew) {
    multiplyTile<kFew, Accumulate>(tile, panel, reduction, out);
  } else {
    multiplyTile<kTilePixels, Accumulate>(tile, panel, reduction, out);
  }
}

}  // namespace plusx::PLUSX_ISA
