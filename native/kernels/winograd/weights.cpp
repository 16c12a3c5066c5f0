// The weights in the Winograd domain, in panels of output channels as the matrix product reads them.
#include "kernels/conv/gather.h"
#include "winograd.h"

namespace plusx::PLUSX_ISA {

namespace {

// packed(position, reduced, lane) of one vector of output channels; `g` is its 3×3 filter.
template <typename Tiling>
PLUSX_INLINE void packFilter(const Vector* g, int64_t positionStride, float* packed) {
  transformFilter<Tiling>(PLUSX_LAMBDA(int i, int j) { return g[i * 3 + j]; },
                          PLUSX_LAMBDA(int i, int j, Vector value) {
                            store(packed + (i * kFilters + j) * positionStride, value);
                          });
}

// filter(output lane, reduced, taps) is a function of the pass; the rest is the same.
template <typename Tiling, typename Filter>
void packPanels(int32_t outputs, int32_t reduced, float* packed, Pool* pool, const Filter& filter) {
  const int32_t panels = (outputs + kPanel - 1) / kPanel;
  const int32_t padded = (reduced + kChunk - 1) / kChunk * kChunk;
  const int32_t chunks = padded / kChunk;
  const int64_t positionStride = static_cast<int64_t>(padded) * kPanel;
  parallelFor(pool, panels * chunks, [&](int32_t task, char*) {
    const int32_t panel = task / chunks, first = task % chunks * kChunk;
    float* to = packed + panel * kFilters * kFilters * positionStride;
    for (int32_t i = first; i < first + kChunk; ++i) {
      for (int half = 0; half < 2; ++half) {
        const int32_t output = panel * kPanel + half * kWidth;
        Vector g[9] = {};
        if (i < reduced && output < outputs) filter(output, i, g);
        packFilter<Tiling>(g, positionStride, to + static_cast<int64_t>(i) * kPanel + half * kWidth);
      }
    }
  });
}

}  // namespace

template <typename Tiling>
void packWinogradForward(const float* weight, int32_t K, int32_t C, float* packed, Pool* pool) {
  packPanels<Tiling>(K, C, packed, pool, [&](int32_t k, int32_t c, Vector* g) {
    const int32_t lanes = K - k < kWidth ? K - k : kWidth;
    float lines[9][kWidth] = {};
    for (int32_t lane = 0; lane < lanes; ++lane) {
      const float* from = weight + static_cast<int64_t>(k + lane) * 9 * C + c;
      for (int tap = 0; tap < 9; ++tap) lines[tap][lane] = from[static_cast<int64_t>(tap) * C];
    }
    for (int tap = 0; tap < 9; ++tap) g[tap] = load(lines[tap]);
  });
}

template <typename Tiling>
void transformStage(const float* packed, int32_t C, int32_t panel, int32_t first, int32_t count,
                    float* staged) {
  // They come from main memory: fetched so many channels ahead.
  constexpr int32_t kAhead = 16;
  const int64_t tapStride = static_cast<int64_t>(C) * kPanel;
  const float* from = packed + (int64_t{panel} * reductionLength(9, C) + first) * kPanel;
  for (int32_t i = 0; i < count; ++i, from += kPanel, staged += kPanel) {
    for (int half = 0; half < kPanel; half += kWidth) {
      Vector g[9] = {};
      if (first + i < C) {
#pragma GCC unroll 9
        for (int tap = 0; tap < 9; ++tap) {
          const float* at = from + tap * tapStride + half;
          __builtin_prefetch(at + kAhead * kPanel);
          g[tap] = load(at);
        }
      }
      packFilter<Tiling>(g, kStagedStride, staged + half);
    }
  }
}

template <typename Tiling>
void packWinogradBackward(const float* weight, int32_t K, int32_t C, float* packed, Pool* pool) {
  packPanels<Tiling>(C, K, packed, pool, [&](int32_t c, int32_t k, Vector* g) {
    const int32_t lanes = C - c < kWidth ? C - c : kWidth;
    for (int tap = 0; tap < 9; ++tap) {
      const float* from = weight + (static_cast<int64_t>(k) * 9 + 8 - tap) * C + c;
      g[tap] = loadLanes(from, lanes);
    }
  });
}

template void packWinogradForward<Stride1>(const float*, int32_t, int32_t, float*, Pool*);
template void packWinogradForward<Stride2>(const float*, int32_t, int32_t, float*, Pool*);
template void transformStage<Stride1>(const float*, int32_t, int32_t, int32_t, int32_t, float*);
template void transformStage<Stride2>(const float*, int32_t, int32_t, int32_t, int32_t, float*);
template void packWinogradBackward<Stride1>(const float*, int32_t, int32_t, float*, Pool*);
template void packWinogradBackward<Stride2Backward>(const float*, int32_t, int32_t, float*, Pool*);

}  // namespace plusx::PLUSX_ISA
