#include "norm.h"

namespace plusx::PLUSX_ISA {

namespace {

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
Blocks cutRows(int64_t M, int32_t C, int32_t sums) {
  const int64_t room = static_cast<int64_t>(kSharedScratchBytes) - int64_t{16} * C;
  int64_t fit = room / (static_cast<int64_t>(C) * sums * static_cast<int64_t>(sizeof(double)));
  if (fit < 1) __builtin_trap();
  if (fit > kMaxBlocks) fit = kMaxBlocks;
  int64_t rows = (M + fit - 1) / fit;
  if (rows < kFloatRows) rows = kFloatRows;
  return {rows, static_cast<int32_t>((M + rows - 1) / rows)};
}

inline int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

// totals(c) = Σ over all rows of term(row pointers, c), computed blockwise; Sums values at once.
// term(i, c, Vector (&)[Sums]) adds row i's terms of channels c .. c + kWidth;
// scalar(i, c, float (&)[Sums]) does it for one channel.
template <int Sums, typename VectorTerm, typename ScalarTerm>
void sumRows(Pool* pool, int64_t M, int32_t C, const VectorTerm& term, const ScalarTerm& scalar) {
  const Blocks blocks = cutRows(M, C, Sums);
  double* shared = reinterpret_cast<double*>(pool->shared);
  parallelFor(pool, blocks.count, [&](int32_t block, char*) {
    double* sums = shared + static_cast<int64_t>(block) * C * Sums;
    for (int64_t i = 0; i < static_cast<int64_t>(C) * Sums; ++i) sums[i] = 0.0;
    const int64_t end = lesser((block + int64_t{1}) * blocks.rows, M);
    for (int64_t start = block * blocks.rows; start < end; start += kFloatRows) {
      const int64_t stop = lesser(start + kFloatRows, end);
      int32_t c = 0;
      for (; c + kWidth <= C; c += kWidth) {
        Vector part[Sums] = {};
        for (int64_t i = start; i < stop; ++i) term(i, c, part);
        for (int s = 0; s < Sums; ++s) {
          for (int lane = 0; lane < kWidth; ++lane) {
            sums[static_cast<int64_t>(s) * C + c + lane] += static_cast<double>(part[s][lane]);
          }
        }
      }
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

// Calls body(first element of a row, c) for every row of (M, C) with kWidth channels left, and
// rest(...) for the remaining single channels.
template <typename Body, typename Rest>
void eachRow(Pool* pool, int64_t M, int32_t C, const Body& body, const Rest& rest) {
  const int64_t rows = lesser(M, 1 + 65536 / C);
  const int32_t tasks = static_cast<int32_t>((M + rows - 1) / rows);
  parallelFor(pool, tasks, [&](int32_t task, char*) {
    const int64_t end = lesser((task + int64_t{1}) * rows, M);
    for (int64_t i = task * rows; i < end; ++i) {
      int32_t c = 0;
      for (; c + kWidth <= C; c += kWidth) body(i * C, c);
      for (; c < C; ++c) rest(i * C, c);
    }
  });
}

void copyTotals(Pool* pool, int32_t C, int32_t sum, float* to) {
  const double* totals = reinterpret_cast<const double*>(pool->shared);
  for (int32_t c = 0; c < C; ++c) to[c] = static_cast<float>(totals[sum * C + c]);
}

// y = (x - mean)·scale + bias
void normalize(Pool* pool, int64_t M, int32_t C, const float* x, const float* mean,
               const float* scale, const float* bias, float* y) {
  eachRow(
      pool, M, C,
      [&](int64_t row, int32_t c) {
        store(y + row + c, (load(x + row + c) - load(mean + c)) * load(scale + c) + load(bias + c));
      },
      [&](int64_t row, int32_t c) { y[row + c] = (x[row + c] - mean[c]) * scale[c] + bias[c]; });
}

}  // namespace

void batchNorm(Arguments a, Pool* pool) {
  const float* x = a.floats();
  const float* weight = a.floats();
  const float* bias = a.floats();
  float* runningMean = a.floats();
  float* runningVar = a.floats();
  float* y = a.floats();
  float* mean = a.floats();
  float* invStd = a.floats();
  const int64_t M = a.integer();
  const int32_t C = a.integer();
  const double momentum = a.number(), eps = a.number();
  double* totals = reinterpret_cast<double*>(pool->shared);

  sumRows<1>(
      pool, M, C,
      [&](int64_t i, int32_t c, Vector(&part)[1]) { part[0] += load(x + i * C + c); },
      [&](int64_t i, int32_t c, float(&part)[1]) { part[0] += x[i * C + c]; });
  for (int32_t c = 0; c < C; ++c) {
    mean[c] = static_cast<float>(totals[c] / static_cast<double>(M));
  }
  sumRows<1>(
      pool, M, C,
      [&](int64_t i, int32_t c, Vector(&part)[1]) {
        const Vector centred = load(x + i * C + c) - load(mean + c);
        part[0] += centred * centred;
      },
      [&](int64_t i, int32_t c, float(&part)[1]) {
        const float centred = x[i * C + c] - mean[c];
        part[0] += centred * centred;
      });

  // The scale of each channel waits in the shared scratch, behind the totals that it replaces.
  float* scale = reinterpret_cast<float*>(totals + C);
  for (int32_t c = 0; c < C; ++c) {
    const double variance = totals[c] / static_cast<double>(M);
    const double inverse = 1.0 / __builtin_sqrt(variance + eps);
    invStd[c] = static_cast<float>(inverse);
    scale[c] = static_cast<float>(inverse * static_cast<double>(weight[c]));
    // A single value has no sample variance: nothing is learnt from it.
    if (M == 1) continue;
    const double unbiased = totals[c] / static_cast<double>(M - 1);
    runningMean[c] = static_cast<float>((1.0 - momentum) * static_cast<double>(runningMean[c]) +
                                        momentum * static_cast<double>(mean[c]));
    runningVar[c] = static_cast<float>((1.0 - momentum) * static_cast<double>(runningVar[c]) +
                                       momentum * unbiased);
  }
  normalize(pool, M, C, x, mean, scale, bias, y);
}

void batchNormInference(Arguments a, Pool* pool) {
  const float* x = a.floats();
  const float* weight = a.floats();
  const float* bias = a.floats();
  const float* runningMean = a.floats();
  const float* runningVar = a.floats();
  float* y = a.floats();
  const int64_t M = a.integer();
  const int32_t C = a.integer();
  const double eps = a.number();
  float* scale = reinterpret_cast<float*>(pool->shared);
  for (int32_t c = 0; c < C; ++c) {
    const double inverse = 1.0 / __builtin_sqrt(static_cast<double>(runningVar[c]) + eps);
    scale[c] = static_cast<float>(inverse * static_cast<double>(weight[c]));
  }
  normalize(pool, M, C, x, runningMean, scale, bias, y);
}

void batchNormBackward(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  const float* x = a.floats();
  const float* weight = a.floats();
  const float* mean = a.floats();
  const float* invStd = a.floats();
  float* dx = a.floats();
  float* dweight = a.floats();
  float* dbias = a.floats();
  const int64_t M = a.integer();
  const int32_t C = a.integer();

  sumRows<2>(
      pool, M, C,
      [&](int64_t i, int32_t c, Vector(&part)[2]) {
        const Vector gradient = load(dy + i * C + c);
        part[0] += gradient;
        part[1] += gradient * (load(x + i * C + c) - load(mean + c));
      },
      [&](int64_t i, int32_t c, float(&part)[2]) {
        part[0] += dy[i * C + c];
        part[1] += dy[i * C + c] * (x[i * C + c] - mean[c]);
      });
  double* totals = reinterpret_cast<double*>(pool->shared);
  copyTotals(pool, C, 0, dbias);
  for (int32_t c = 0; c < C; ++c) {
    dweight[c] = static_cast<float>(totals[C + c] * static_cast<double>(invStd[c]));
  }

  // dx = scale·(dy - meanGradient - (x - mean)·slope)
  float* scale = reinterpret_cast<float*>(totals + 2 * C);
  float* slope = scale + C;
  float* meanGradient = slope + C;
  for (int32_t c = 0; c < C; ++c) {
    const double inverse = invStd[c], count = static_cast<double>(M);
    scale[c] = static_cast<float>(inverse * static_cast<double>(weight[c]));
    slope[c] = static_cast<float>(totals[C + c] * inverse * inverse / count);
    meanGradient[c] = static_cast<float>(totals[c] / count);
  }
  eachRow(
      pool, M, C,
      [&](int64_t row, int32_t c) {
        const Vector centred = load(x + row + c) - load(mean + c);
        const Vector inner = load(dy + row + c) - load(meanGradient + c) - centred * load(slope + c);
        store(dx + row + c, load(scale + c) * inner);
      },
      [&](int64_t row, int32_t c) {
        const float centred = x[row + c] - mean[c];
        dx[row + c] = scale[c] * (dy[row + c] - meanGradient[c] - centred * slope[c]);
      });
}

void sumToChannels(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  float* dbias = a.floats();
  const int64_t M = a.integer();
  const int32_t C = a.integer();
  sumRows<1>(
      pool, M, C,
      [&](int64_t i, int32_t c, Vector(&part)[1]) { part[0] += load(dy + i * C + c); },
      [&](int64_t i, int32_t c, float(&part)[1]) { part[0] += dy[i * C + c]; });
  copyTotals(pool, C, 0, dbias);
}

}  // namespace plusx::PLUSX_ISA
