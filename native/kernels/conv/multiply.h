// The register tile of every matrix product here: pixels (or tiles) × output channels.
//
//   out(row, o) = Σ_i tile(i / 16, row, i % 16) panel(i, o)
//
// `tile` lies in chunks of kChunk steps of the reduction for kTilePixels rows, so that the kernel
// reads all rows through one pointer and constant displacements; `panel` is (reduction, kPanel).
#pragma once
#include "conv.h"

namespace plusx::PLUSX_ISA {

// 2·Rows accumulators stay in registers; look at the disassembly when changing it.
template <int Rows>
__attribute__((noinline)) void multiplyTile(const float* tile, const float* panel,
                                            int32_t reduction, float* out) {
  Vector acc[Rows][2] = {};
  for (int32_t chunk = 0; chunk < reduction; chunk += kChunk) {
#pragma GCC unroll 2
    for (int c = 0; c < kChunk; ++c) {
      const Vector w0 = load(panel), w1 = load(panel + kWidth);
#pragma GCC unroll 16
      for (int t = 0; t < Rows; ++t) {
        const float x = tile[t * kChunk + c];
        acc[t][0] += x * w0;
        acc[t][1] += x * w1;
      }
      panel += kPanel;
    }
    tile += kTilePixels * kChunk;
  }
#pragma GCC unroll 16
  for (int t = 0; t < Rows; ++t) {
    store(out + t * kPanel, acc[t][0]);
    store(out + t * kPanel + kWidth, acc[t][1]);
  }
}

// `rows` of a tile exist: a half-empty tile takes half the time. Rows beyond are undefined.
static inline void multiplyRows(int32_t rows, const float* tile, const float* panel,
                                int32_t reduction, float* out) {
  if (rows > kTilePixels / 2) {
    multiplyTile<kTilePixels>(tile, panel, reduction, out);
  } else {
    multiplyTile<kTilePixels / 2>(tile, panel, reduction, out);
  }
}

}  // namespace plusx::PLUSX_ISA
