// Sums and maps over the rows of (M, C), cut by shape: what the kernels of batch normalisation share.
#pragma once
#include "norm.h"

namespace plusx::PLUSX_ISA {

constexpr int32_t kMaxBlocks = 64;
// Rows that are summed in fp32 before the sum is added in fp64.
constexpr int32_t kFloatRows = 128;

// How (M, C) is cut: the same cut for every number of threads.
struct Blocks {
  int64_t rows;
  int32_t count;
};

// `sums` doubles a channel and block must fit into the pool's shared scratch, and behind them the
// three floats a channel that the second half of a kernel keeps there.
static inline Blocks cutRows(int64_t M, int32_t C, int32_t sums) {
  const int64_t room = static_cast<int64_t>(kSharedScratchBytes) - int64_t{16} * C;
  int64_t fit = room / (static_cast<int64_t>(C) * sums * static_cast<int64_t>(sizeof(double)));
  if (fit < 1) __builtin_trap();
  if (fit > kMaxBlocks) fit = kMaxBlocks;
  int64_t rows = (M + fit - 1) / fit;
  if (rows < kFloatRows) rows = kFloatRows;
  return {rows, static_cast<int32_t>((M + rows - 1) / rows)};
}

static inline int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

// Vectors of channels that are summed side by side: whole cache lines in a row are read in order. (Of four
// vectors' sums V8 keeps some in memory.)
#if defined(__wasm__)
constexpr int kGroup = 2;
#else
constexpr int kGroup = 4;
#endif

template <int Group, int Sums, typename VectorTerm>
static void sumGroup(const VectorTerm& term, int64_t start, int64_t stop, int32_t C, int32_t c,
                     double* sums) {
  // A copy: what it stores cannot have changed it.
  const VectorTerm own = term;
  Vector part[Group][Sums] = {};
  for (int64_t i = start; i < stop; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < Group; ++v) own(i, c + v * kWidth, part[v]);
  }
  for (int v = 0; v < Group; ++v) {
    for (int s = 0; s < Sums; ++s) {
      double* to = sums + static_cast<int64_t>(s) * C + c + v * kWidth;
      for (int lane = 0; lane < kWidth; ++lane) to[lane] += static_cast<double>(part[v][s][lane]);
    }
  }
}

// totals(c) = Σ over all rows of term(row pointers, c), computed blockwise; Sums values at once.
// term(i, c, Vector (&)[Sums]) adds row i's terms of channels c .. c + kWidth;
// scalar(i, c, float (&)[Sums]) does it for one channel.
template <int Sums, typename VectorTerm, typename ScalarTerm>
static void sumRows(Pool* pool, int64_t M, int32_t C, const VectorTerm& term, const ScalarTerm& scalar) {
  const Blocks blocks = cutRows(M, C, Sums);
  double* shared = reinterpret_cast<double*>(pool->shared);
  parallelFor(pool, blocks.count, [&](int32_t block, char*) {
    double* sums = shared + static_cast<int64_t>(block) * C * Sums;
    for (int64_t i = 0; i < static_cast<int64_t>(C) * Sums; ++i) sums[i] = 0.0;
    const int64_t end = lesser((block + int64_t{1}) * blocks.rows, M);
    for (int64_t start = block * blocks.rows; start < end; start += kFloatRows) {
      const int64_t stop = lesser(start + kFloatRows, end);
      int32_t c = 0;
      for (; c + kGroup * kWidth <= C; c += kGroup * kWidth) {
        sumGroup<kGroup, Sums>(term, start, stop, C, c, sums);
      }
      for (; c + kWidth <= C; c += kWidth) sumGroup<1, Sums>(term, start, stop, C, c, sums);
      for (; c < C; ++c) {
        float part[Sums] = {};
        for (int64_t i = start; i < stop; ++i) scalar(i, c, part);
        for (int s = 0; s < Sums; ++s) {
          sums[static_cast<int64_t>(s) * C + c] += static_cast<double>(part[s]);
        }
      }
    }
  });
  // The first block's place becomes the total.
  for (int32_t block = 1; block < blocks.count; ++block) {
    const double* sums = shared + static_cast<int64_t>(block) * C * Sums;
    for (int64_t i = 0; i < static_cast<int64_t>(C) * Sums; ++i) shared[i] += sums[i];
  }
}

static inline void copyTotals(Pool* pool, int32_t C, int32_t sum, float* to) {
  const double* totals = reinterpret_cast<const double*>(pool->shared);
  for (int32_t c = 0; c < C; ++c) to[c] = static_cast<float>(totals[sum * C + c]);
}

}  // namespace plusx::PLUSX_ISA
