// The weights in the Winograd domain, in panels of output channels as the matrix product reads them.
#include "kernels/conv/gather.h"
#include "winograd.h"

namespace plusx::PLUSX_ISA {

namespace {

// G g Gᵀ of one vector of output channels; `g` is its 3×3 filter. keep(row)(column, value) of filters.
template <typename Tiling, typename Keep>
PLUSX_INLINE void eachFilter(const Vector* g, const Keep& keep) {
  transformFilter<Tiling>(
      PLUSX_LAMBDA(int j) {
        const Vector* column = g + j;
        return PLUSX_CLOSURE(int i) { return column[i * 3]; };
      },
      keep);
}

// packed(filter, step of the reduction, lane) of one vector of output channels, past the caches or not.
// `g` holds a step's filter, and behind it that of the next where two lie side by side.
template <typename Tiling>
PLUSX_INLINE void packFilter(const Vector* g, int64_t filterStride, bool streaming, float* packed) {
  eachFilter<Tiling>(g, PLUSX_LAMBDA(int i) {
    float* row = opaque(packed + i * kFilters * filterStride);
    return PLUSX_CLOSURE(int j, Vector value) {
      if (streaming) {
        storeStreaming(row + j * filterStride, value);
      } else {
        store(row + j * filterStride, value);
      }
    };
  });
}

#if defined(__AVX512BF16__)
template <typename Tiling>
PLUSX_INLINE void packFilter(const Vector* g, int64_t filterStride, bool, BFloat* packed) {
  Vector first[kFilters * kFilters];
  eachFilter<Tiling>(g, PLUSX_LAMBDA(int i) {
    Vector* row = first + i * kFilters;
    return PLUSX_CLOSURE(int j, Vector value) { row[j] = value; };
  });
  eachFilter<Tiling>(g + 9, PLUSX_LAMBDA(int i) {
    const Vector* firstRow = first + i * kFilters;
    BFloat* row = opaque(packed + i * kFilters * filterStride);
    return PLUSX_CLOSURE(int j, Vector value) {
      storePairs(row + j * filterStride, firstRow[j], value);
    };
  });
}
#endif

// Chunks of the reduction that a task transforms: it reads and writes in longer runs.
constexpr int32_t kTaskChunks = 4;
// What is larger does not stay in the third-level cache until it is read.
constexpr int64_t kKeptBytes = int64_t{16} << 20;

// stage(first output, first reduced, staged) lays down the filters of a panel and a chunk of its
// reduction as (kChunk, 9, kPanel), zero beyond the last: a function of the pass; the rest is the same.
template <typename Tiling, typename Factor, typename Stage>
void packPanels(int32_t outputs, int32_t reduced, Factor* packed, Pool* pool, const Stage& stage) {
  constexpr int kStep = kSteps<Factor>;
  const int32_t panels = (outputs + kPanel - 1) / kPanel;
  const int32_t chunks = (reduced + kChunk - 1) / kChunk;
  const int32_t runs = (chunks + kTaskChunks - 1) / kTaskChunks;
  const int64_t filterStride = static_cast<int64_t>(chunks) * kChunk * kPanel;
  const int64_t bytes = int64_t{sizeof(Factor)} * panels * kFilters * kFilters * filterStride;
  // Of shorter vectors a line's other half comes 36 stores later: too late.
  const bool streaming = kWidth * sizeof(float) == 64 && bytes > kKeptBytes;
  parallelFor(pool, panels * runs, [&](int32_t task, char* scratch) {
    const int32_t output = task / runs * kPanel, start = task % runs * kTaskChunks * kChunk;
    const int32_t end = start + kTaskChunks * kChunk < reduced ? start + kTaskChunks * kChunk : reduced;
    for (int32_t first = start; first < end; first += kChunk) {
      float* staged = reinterpret_cast<float*>(scratch);
      if (output + kPanel > outputs || first + kChunk > reduced) {
        __builtin_memset(staged, 0, sizeof(float) * kChunk * 9 * kPanel);
      }
      stage(output, first, staged);
      Factor* to = packed + output / kPanel * kFilters * kFilters * filterStride +
                   static_cast<int64_t>(first) * kPanel;
      for (int32_t i = 0; i < kChunk;
           i += kStep, staged += kStep * 9 * kPanel, to += kStep * kPanel) {
        for (int half = 0; half < kPanel; half += kWidth) {
          Vector g[kStep * 9];
          for (int tap = 0; tap < kStep * 9; ++tap) g[tap] = load(staged + tap * kPanel + half);
          packFilter<Tiling>(g, filterStride, streaming, to + half * kStep);
        }
      }
    }
  });
}

}  // namespace

template <typename Tiling, typename Factor>
void packWinogradForward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool) {
  packPanels<Tiling>(K, C, packed, pool, [&](int32_t k, int32_t c, float* staged) {
    const int32_t lanes = K - k < kPanel ? K - k : kPanel;
    const int32_t channels = C - c < kChunk ? C - c : kChunk;
    // A line of the weight at a time: those of different k often fall into one set of the cache, where
    // they would not stay until their next channel is read.
    for (int32_t lane = 0; lane < lanes; ++lane) {
      for (int tap = 0; tap < 9; ++tap) {
        const float* from = weight + (static_cast<int64_t>(k + lane) * 9 + tap) * C + c;
        float* to = staged + tap * kPanel + lane;
        __builtin_prefetch(from + kChunk);
        for (int32_t i = 0; i < channels; ++i) to[i * 9 * kPanel] = from[i];
      }
    }
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
      packFilter<Tiling>(g, kStagedStride, false, staged + half);
    }
  }
}

template <typename Tiling, typename Factor>
void packWinogradBackward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool) {
  packPanels<Tiling>(C, K, packed, pool, [&](int32_t c, int32_t k, float* staged) {
    const int32_t lanes = C - c < kPanel ? C - c : kPanel;
    const int32_t rows = K - k < kChunk ? K - k : kChunk;
    for (int32_t i = 0; i < rows; ++i) {
      for (int tap = 0; tap < 9; ++tap, staged += kPanel) {
        const float* from = weight + (static_cast<int64_t>(k + i) * 9 + 8 - tap) * C + c;
        __builtin_memcpy(staged, from, sizeof(float) * lanes);
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
