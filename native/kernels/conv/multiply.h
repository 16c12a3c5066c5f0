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

// Steps at the end of a sum that a few rows take together, so that their stores go on beside the products
// of the next ones: a core stores a vector in the time of one or two products, and waits for all of them
// where they come at once. (WebAssembly's engines do not keep so many sums in registers across that.)
#if defined(__wasm__)
constexpr int kLastSteps = 0;
#else
constexpr int kLastSteps = 4;
#endif

// Rows that do so.
constexpr int lastRows(int rows) { return (rows + 2) / 3; }

// Stores rows from .. to of the sums, or adds them to what is there.
//
// V8 as of Node 20 and 22 moves the products of sums that are then only stored behind all loads of their
// turn: too many for its registers. Those that are added to something read behind the loop stay in order.
template <bool Accumulate, int Rows>
PLUSX_INLINE void storeRows(const Vector (&acc)[Rows][2], int from, int to, float* out) {
#if defined(__wasm__)
  static const float kZeros[kWidth] = {};
  const float* zeros = opaque(kZeros);
#endif
#pragma GCC unroll 16
  for (int t = from; t < to; ++t) {
    float* row = opaque(out + t * kPanel);
    const auto keep = PLUSX_LAMBDA(float* to, Vector sum) {
#if defined(__wasm__)
      store(to, sum + load(Accumulate ? to : zeros));
#else
      store(to, Accumulate ? sum + load(to) : sum);
#endif
    };
    keep(row, acc[t][0]);
    keep(row + kWidth, acc[t][1]);
  }
}

// Bytes that a step reads of its panel, and that it fetches of what is needed next: a line at most.
template <typename Factor>
constexpr int64_t kPanelBytes = int64_t{sizeof(Factor)} * kSteps<Factor> * kPanel;
template <typename Factor>
constexpr int64_t kAheadBytes = kPanelBytes<Factor> < 64 ? kPanelBytes<Factor> : 64;

// A run of the reduction. 2·Rows accumulators stay in registers; look at the disassembly when changing it.
template <int Rows, bool Accumulate, typename Factor>
__attribute__((noinline)) static void multiplyRun(const Factor* tile, const Factor* panel,
                                                  int32_t terms, float* out, const char* ahead) {
  constexpr int kStep = kSteps<Factor>, kGroup = lastRows(Rows);
  Vector acc[Rows][2] = {};
  const auto step = PLUSX_LAMBDA(const Factor* column, const Factor* lanes, int from, int to) {
    column = opaque(column);
    lanes = opaque(lanes);
    const auto w0 = lanesOf(lanes), w1 = lanesOf(lanes + kWidth * kStep);
#pragma GCC unroll 16
    for (int t = from; t < to; ++t) {
      const auto x = broadcastOf(column + t * kChunk);
      multiplyAdd(acc[t][0], x, w0);
      multiplyAdd(acc[t][1], x, w1);
    }
  };
  const auto columnAt = PLUSX_LAMBDA(int32_t term) {
    return tile + term + term / kChunk * ((kTilePixels - 1) * kChunk);
  };
  const int32_t last = terms - kLastSteps * kStep;
  for (int32_t i = 0; i < last; i += kStep) {
    if (kDirectsCaches) __builtin_prefetch(ahead + i / kStep * kAheadBytes<Factor>, 0, 2);
    step(columnAt(i), panel + i * kPanel, 0, Rows);
  }
#pragma GCC unroll 16
  for (int from = 0; from < Rows; from += kGroup) {
    const int to = from + kGroup < Rows ? from + kGroup : Rows;
#pragma GCC unroll 8
    for (int i = 0; i < kLastSteps * kStep; i += kStep) {
      step(columnAt(last) + i, panel + (last + i) * kPanel, from, to);
    }
    storeRows<Accumulate>(acc, from, to, out);
  }
}

template <int Rows, bool Accumulate, typename Factor>
PLUSX_INLINE void multiplyTile(const Factor* tile, const Factor* panel, int32_t reduction, float* out,
                               const char* ahead) {
  const auto termsFrom = PLUSX_LAMBDA(int32_t run) {
    return reduction - run < kRunTerms ? reduction - run : kRunTerms;
  };
  multiplyRun<Rows, Accumulate>(tile, panel, termsFrom(0), out, ahead);
  for (int32_t run = kRunTerms; run < reduction; run += kRunTerms) {
    tile += kRunTerms * kTilePixels;
    panel += kRunTerms * kPanel;
    ahead += kRunTerms / kSteps<Factor> * kAheadBytes<Factor>;
    multiplyRun<Rows, true>(tile, panel, termsFrom(run), out, ahead);
  }
}

// `rows` of a tile exist: few of them take less time. Those beyond are undefined. What is needed next is
// fetched from `ahead` on, kAheadBytes a step.
template <bool Accumulate, typename Factor, int... Rows>
PLUSX_INLINE void multiplyRows(int32_t rows, const Factor* tile, const Factor* panel, int32_t reduction,
                               float* out, const char* ahead, std::integer_sequence<int, Rows...>) {
  const auto fits = PLUSX_LAMBDA(auto count) {
    if (rows > count) return false;
    multiplyTile<count, Accumulate>(tile, panel, reduction, out, ahead);
    return true;
  };
  (fits(std::integral_constant<int, Rows>{}) || ...);
}
template <bool Accumulate = false, typename Factor>
static inline void multiplyRows(int32_t rows, const Factor* tile, const Factor* panel,
                                int32_t reduction, float* out, const void* ahead) {
  multiplyRows<Accumulate>(rows, tile, panel, reduction, out, static_cast<const char*>(ahead), TileRows{});
}

}  // namespace plusx::PLUSX_ISA
