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
// What is larger goes past the caches: in them, each line would be fetched first to be written whole.
constexpr int64_t kKeptBytes = int64_t{4} << 20;

// A panel's filters of one chunk of the reduction: to packed(filter, step, lane), zero beyond the last.
// layTaps(output, first, room) lays the chunk's taps down as (kChunk, 9, kPanel).
template <typename Tiling, typename Factor, typename LayTaps>
PLUSX_INLINE void packChunk(int32_t output, int32_t first, float* room, int64_t filterStride,
                            bool streaming, Factor* packed, const LayTaps& layTaps) {
  constexpr int kStep = kSteps<Factor>;
  layTaps(output, first, room);
  for (int32_t i = 0; i < kChunk; i += kStep, room += kStep * 9 * kPanel, packed += kStep * kPanel) {
    for (int half = 0; half < kPanel; half += kWidth) {
      Vector g[kStep * 9];
      for (int tap = 0; tap < kStep * 9; ++tap) g[tap] = load(room + tap * kPanel + half);
      packFilter<Tiling>(g, filterStride, streaming, packed + half * kStep);
    }
  }
}

template <typename Tiling, typename Factor, typename LayTaps>
void packPanels(int32_t outputs, int32_t reduced, Factor* packed, Pool* pool, const LayTaps& layTaps) {
  const int32_t panels = (outputs + kPanel - 1) / kPanel;
  const int32_t chunks = (reduced + kChunk - 1) / kChunk;
  const int32_t runs = (chunks + kTaskChunks - 1) / kTaskChunks;
  const int64_t filterStride = static_cast<int64_t>(chunks) * kChunk * kPanel;
  const int64_t bytes = int64_t{sizeof(Factor)} * panels * kFilters * kFilters * filterStride;
  // Of shorter vectors a line's other half comes 36 stores later: too late.
  const bool streaming = kWidth * sizeof(float) == 64 && bytes > kKeptBytes;
  parallelFor(pool, panels * runs, [&](int32_t task, char* scratch) {
    const int32_t panel = task / runs, start = task % runs * kTaskChunks * kChunk;
    const int32_t end = start + kTaskChunks * kChunk < reduced ? start + kTaskChunks * kChunk : reduced;
    Factor* to = packed + panel * kFilters * kFilters * filterStride;
    for (int32_t first = start; first < end; first += kChunk) {
      packChunk<Tiling>(panel * kPanel, first, reinterpret_cast<float*>(scratch), filterStride,
                        streaming, to + static_cast<int64_t>(first) * kPanel, layTaps);
    }
  });
}

// Taps of a step, kPanel outputs side by side.
constexpr int64_t kStepTaps = 9 * kPanel;

// weight (K,3,3,C) as a forward pass reduces it: channels, which lie side by side, become steps.
PLUSX_INLINE auto forwardTaps(const float* weight, int32_t K, int32_t C) {
  return [=](int32_t k, int32_t c, float* room) {
    const int64_t filter = int64_t{9} * C;
    if (k + kPanel <= K && c + kChunk <= C) {
      for (int tap = 0; tap < 9; ++tap) {
        const float* from = weight + k * filter + int64_t{tap} * C + c;
        float* to = room + tap * kPanel;
        for (int half = 0; half < kPanel; half += kWidth, from += kWidth * filter, to += kWidth) {
          for (int i = 0; i < kChunk; i += kWidth) {
            Vector block[kWidth];
#pragma GCC unroll 16
            for (int lane = 0; lane < kWidth; ++lane) {
              const float* line = from + lane * filter + i;
              // Those of different k often fall into one set of the first cache.
              __builtin_prefetch(line + kChunk, 0, 2);
              block[lane] = load(line);
            }
            transpose(block);
#pragma GCC unroll 16
            for (int step = 0; step < kWidth; ++step) store(to + (i + step) * kStepTaps, block[step]);
          }
        }
      }
      return;
    }
    const int32_t lanes = K - k < kPanel ? K - k : kPanel, steps = C - c < kChunk ? C - c : kChunk;
    __builtin_memset(room, 0, sizeof(float) * kChunkTaps);
    for (int32_t lane = 0; lane < lanes; ++lane) {
      for (int tap = 0; tap < 9; ++tap) {
        const float* from = weight + (k + lane) * filter + int64_t{tap} * C + c;
        float* to = room + tap * kPanel + lane;
        for (int32_t i = 0; i < steps; ++i) to[i * kStepTaps] = from[i];
      }
    }
  };
}

// The same turned by 180°, reduced over K.
PLUSX_INLINE auto backwardTaps(const float* weight, int32_t K, int32_t C) {
  return [=](int32_t c, int32_t k, float* room) {
    const int64_t filter = int64_t{9} * C;
    const float* last = weight + k * filter + int64_t{8} * C + c;
    const int32_t lanes = C - c < kPanel ? C - c : kPanel, steps = K - k < kChunk ? K - k : kChunk;
    if (lanes < kPanel || steps < kChunk) __builtin_memset(room, 0, sizeof(float) * kChunkTaps);
    for (int32_t i = 0; i < steps; ++i) {
#pragma GCC unroll 9
      for (int tap = 0; tap < 9; ++tap, room += kPanel) {
        const float* from = last + i * filter - int64_t{tap} * C;
        if (lanes == kPanel) {
          store(room, load(from));
          store(room + kWidth, load(from + kWidth));
        } else {
          __builtin_memcpy(room, from, sizeof(float) * lanes);
        }
      }
    }
  };
}

}  // namespace

template <typename Tiling, typename Factor>
void packWinogradForward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool) {
  packPanels<Tiling>(K, C, packed, pool, forwardTaps(weight, K, C));
}

template <typename Tiling, int Channels>
void transformStage(const float* packed, int32_t C, int32_t panel, int32_t first, int32_t count,
                    float* staged) {
  // They come from main memory: fetched so many channels ahead. Each channel's filters are 72 lines: with
  // more, those fetched would have left the first cache again.
  constexpr int32_t kAhead = 4;
  const int64_t tapStride = static_cast<int64_t>(C) * kPanel;
  const float* from = packed + (int64_t{panel} * reductionLength(9, C) + first) * kPanel;
  for (int32_t i = 0; i < count; ++i, from += kPanel, staged += kPanel) {
    for (int half = 0; half < kPanel; half += kWidth) {
      Vector g[9] = {};
      if (Channels == kFewChannels || first + i < C) {
#pragma GCC unroll 9
        for (int tap = 0; tap < 9; ++tap) {
          const float* at = from + tap * tapStride + half;
          __builtin_prefetch(at + kAhead * kPanel);
          g[tap] = load(at);
        }
      }
      packFilter<Tiling>(g, kStagedStride<Channels>, false, staged + half);
    }
  }
}

template <typename Tiling, typename Factor>
void packWinogradBackward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool) {
  packPanels<Tiling>(C, K, packed, pool, backwardTaps(weight, K, C));
}

template <typename Tiling, typename Factor>
void stageWeights(const StagedWeights& weights, int32_t panel, int32_t first, int32_t count,
                  float* room, Factor* staged) {
  const auto [weight, K, C, backward] = weights;
  const auto run = PLUSX_LAMBDA(const auto& layTaps) {
    for (int32_t i = 0; i < count; i += kChunk) {
      packChunk<Tiling>(panel * kPanel, first + i, room, kStagedStride<kStagedChannels>, false,
                        staged + i * kPanel, layTaps);
    }
  };
  if (backward) {
    run(backwardTaps(weight, K, C));
  } else {
    run(forwardTaps(weight, K, C));
  }
}

}  // namespace plusx::PLUSX_ISA
