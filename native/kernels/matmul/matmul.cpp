#include "matmul.h"

namespace plusx::PLUSX_ISA {

namespace {

// Columns of y in one task.
constexpr int32_t kTaskColumns = 256;

// y(n) = Σ_i a(i) b(n, i), both contiguous in i: lanes are summed in a fixed order.
float dot(const float* a, const float* b, int32_t length) {
  Vector part0 = {}, part1 = {};
  int32_t i = 0;
  for (; i + 2 * kWidth <= length; i += 2 * kWidth) {
    part0 += load(a + i) * load(b + i);
    part1 += load(a + i + kWidth) * load(b + i + kWidth);
  }
  part0 += part1;
  float sum = 0.0f;
  for (int lane = 0; lane < kWidth; ++lane) sum += part0[lane];
  for (; i < length; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void matmul(Arguments arguments, Pool* pool) {
  const float* a = arguments.floats();
  const float* b = arguments.floats();
  float* y = arguments.floats();
  const int32_t M = arguments.integer(), N = arguments.integer(), inner = arguments.integer();
  const bool transposeA = arguments.integer() != 0, transposeB = arguments.integer() != 0;
  const int64_t aStride = transposeA ? M : 1;
  const int32_t columnTasks = (N + kTaskColumns - 1) / kTaskColumns;

  parallelFor(pool, M * columnTasks, [&](int32_t task, char*) {
    const int32_t m = task / columnTasks, first = task % columnTasks * kTaskColumns;
    const int32_t end = first + kTaskColumns < N ? first + kTaskColumns : N;
    const float* row = transposeA ? a + m : a + static_cast<int64_t>(m) * inner;
    float* to = y + static_cast<int64_t>(m) * N;
    if (transposeB && !transposeA) {
      for (int32_t n = first; n < end; ++n) to[n] = dot(row, b + int64_t{n} * inner, inner);
    } else if (transposeB) {
      for (int32_t n = first; n < end; ++n) {
        float sum = 0.0f;
        for (int32_t i = 0; i < inner; ++i) sum += row[i * aStride] * b[int64_t{n} * inner + i];
        to[n] = sum;
      }
    } else {
      for (int32_t n = first; n < end; ++n) to[n] = 0.0f;
      for (int32_t i = 0; i < inner; ++i) {
        const float factor = row[i * aStride];
        const float* line = b + static_cast<int64_t>(i) * N;
        for (int32_t n = first; n < end; ++n) to[n] += factor * line[n];
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
