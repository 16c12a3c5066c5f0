#include "measure.h"

namespace plusx::PLUSX_ISA {

namespace {

// Latency times units, with a margin: 4 cycles × 2 units for a fused multiply-add, 6 × 2 for a
// multiplication and an addition. With b and c they fill 14 of the 16 registers of SSE and AVX2.
constexpr int kChains = 12;
constexpr int32_t kRounds = 50000;

// Threads do not start at the same time: with several tasks each, the first one does more.
constexpr int32_t kTasksPerThread = 8;

// Volatile: a compiler that knows b and c finds chains that it need not compute.
const volatile float kFactors[2] = {0.5f, 1.0f};

// Functions of their own: a WebAssembly engine begins with slow code, and changes it between calls.
__attribute__((noinline)) void multiplyAddChains(float* sums) {
  const Vector b = Vector{} + kFactors[0], c = Vector{} + kFactors[1];
  Vector a[kChains];
#pragma GCC unroll 16
  for (int j = 0; j < kChains; ++j) a[j] = Vector{} + static_cast<float>(j);
  for (int32_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (int j = 0; j < kChains; ++j) a[j] = a[j] * b + c;
  }
#pragma GCC unroll 16
  for (int j = 0; j < kChains; ++j) store(sums + j * kWidth, a[j]);
}

__attribute__((noinline)) void streamRange(float* x, int64_t first, int64_t end) {
  for (int64_t i = first; i < end; ++i) x[i] = 1.0f - x[i];
}

}  // namespace

double multiplyAdds(Pool* pool) {
  const int32_t tasks = pool->threads * kTasksPerThread;
  parallelFor(pool, tasks, [](int32_t, char* scratch) {
    // The sums go where somebody could read them: else there would be nothing to compute.
    multiplyAddChains(reinterpret_cast<float*>(scratch));
  });
  return 2.0 * tasks * kRounds * kChains * kWidth;
}

double stream(float* x, int64_t count, Pool* pool) {
  const int32_t tasks = pool->threads * kTasksPerThread;
  const int64_t share = (count + tasks - 1) / tasks;
  parallelFor(pool, tasks, [&](int32_t task, char*) {
    const int64_t first = task * share;
    streamRange(x, first, first + share < count ? first + share : count);
  });
  return 2.0 * sizeof(float) * static_cast<double>(count);
}

}  // namespace plusx::PLUSX_ISA
