#include "matmul.h"

namespace plusx::PLUSX_ISA {

namespace {

// Element (row, i) of a lies at row·aRow + i·aInner, element (i, n) of b at i·bInner + n·bColumn.
struct MatrixProduct {
  const float* a;
  const float* b;
  float* y;
  int32_t M, N, inner;
  int64_t aRow, aInner, bInner, bColumn;
};

// Rows of a × vectors or columns of b in a register tile: with 32 registers 16 sums, else 8.
constexpr int kTileRows = 4;
constexpr int kTileColumns = kWidth == 16 ? 4 : 2;

// Both operands contiguous along the sum (a layer's forward pass): dot products --------------------

// Steps of the sum at a time: so much of a stays in the second-level cache.
constexpr int32_t kDotInner = 2048;
constexpr int32_t kDotColumns = 32;

// y(r, c) += Σ_i a(r, i) b(c, i): lanes are summed in a fixed order.
template <int Rows, int Columns>
void addDots(const MatrixProduct& p, int32_t row, int32_t column, int32_t first, int32_t end) {
  const float* a = p.a + row * p.aRow;
  const float* b = p.b + column * p.bColumn;
  Vector acc[Rows][Columns] = {};
  int32_t i = first;
  for (; i + kWidth <= end; i += kWidth) {
    Vector x[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) x[r] = load(a + r * p.aRow + i);
#pragma GCC unroll 8
    for (int c = 0; c < Columns; ++c) {
      const Vector w = load(b + c * p.bColumn + i);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) acc[r][c] += x[r] * w;
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int c = 0; c < Columns; ++c) {
      float sum = 0.0f;
      for (int lane = 0; lane < kWidth; ++lane) sum += acc[r][c][lane];
      for (int32_t rest = i; rest < end; ++rest) {
        sum += a[r * p.aRow + rest] * b[c * p.bColumn + rest];
      }
      p.y[static_cast<int64_t>(row + r) * p.N + column + c] += sum;
    }
  }
}

template <int Rows>
void addDotRows(const MatrixProduct& p, int32_t row, int32_t column, int32_t endColumn, int32_t first,
                int32_t end) {
  for (; column + kTileColumns <= endColumn; column += kTileColumns) {
    addDots<Rows, kTileColumns>(p, row, column, first, end);
  }
  for (; column < endColumn; ++column) addDots<Rows, 1>(p, row, column, first, end);
}

void multiplyByDots(const MatrixProduct& p, Pool* pool) {
  parallelFor(pool, (p.N + kDotColumns - 1) / kDotColumns, [&](int32_t task, char*) {
    const int32_t column = task * kDotColumns;
    const int32_t endColumn = column + kDotColumns < p.N ? column + kDotColumns : p.N;
    for (int32_t m = 0; m < p.M; ++m) {
      __builtin_memset(p.y + static_cast<int64_t>(m) * p.N + column, 0,
                       sizeof(float) * (endColumn - column));
    }
    for (int32_t first = 0; first < p.inner; first += kDotInner) {
      const int32_t end = first + kDotInner < p.inner ? first + kDotInner : p.inner;
      int32_t row = 0;
      for (; row + kTileRows <= p.M; row += kTileRows) {
        addDotRows<kTileRows>(p, row, column, endColumn, first, end);
      }
      for (; row < p.M; ++row) addDotRows<1>(p, row, column, endColumn, first, end);
    }
  });
}

// b contiguous along y's columns (a layer's gradients): sums of rows --------------------------------

// Rows of b at a time, streams that the processor reads ahead; rows and columns of a task, whose part
// of y stays in the second-level cache.
constexpr int32_t kRowInner = 16;
constexpr int32_t kRowRows = 64;
constexpr int32_t kRowColumns = 1024;

// y(r, n) += Σ_i a(r, i) b(i, n) for kTileColumns vectors of n.
template <int Rows>
void addRows(const MatrixProduct& p, int32_t row, int32_t column, int32_t first, int32_t end) {
  const float* a = p.a + row * p.aRow + first * p.aInner;
  const float* b = p.b + first * p.bInner + column;
  float* y = p.y + static_cast<int64_t>(row) * p.N + column;
  Vector acc[Rows][kTileColumns];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kTileColumns; ++v) {
      acc[r][v] = load(y + static_cast<int64_t>(r) * p.N + v * kWidth);
    }
  }
  for (int32_t i = first; i < end; ++i, a += p.aInner, b += p.bInner) {
    Vector w[kTileColumns];
#pragma GCC unroll 8
    for (int v = 0; v < kTileColumns; ++v) w[v] = load(b + v * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const float x = a[r * p.aRow];
#pragma GCC unroll 8
      for (int v = 0; v < kTileColumns; ++v) acc[r][v] += x * w[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kTileColumns; ++v) {
      store(y + static_cast<int64_t>(r) * p.N + v * kWidth, acc[r][v]);
    }
  }
}

// The same for the columns that fill no tile.
void addRest(const MatrixProduct& p, int32_t row, int32_t column, int32_t endColumn, int32_t first,
             int32_t end) {
  float* y = p.y + static_cast<int64_t>(row) * p.N;
  for (int32_t i = first; i < end; ++i) {
    const float x = p.a[row * p.aRow + i * p.aInner];
    const float* line = p.b + i * p.bInner;
    for (int32_t n = column; n < endColumn; ++n) y[n] += x * line[n];
  }
}

void multiplyByRows(const MatrixProduct& p, Pool* pool) {
  const int32_t columnTasks = (p.N + kRowColumns - 1) / kRowColumns;
  const int32_t rowTasks = (p.M + kRowRows - 1) / kRowRows;
  parallelFor(pool, rowTasks * columnTasks, [&](int32_t task, char*) {
    const int32_t row0 = task / columnTasks * kRowRows, column0 = task % columnTasks * kRowColumns;
    const int32_t endRow = row0 + kRowRows < p.M ? row0 + kRowRows : p.M;
    const int32_t endColumn = column0 + kRowColumns < p.N ? column0 + kRowColumns : p.N;
    for (int32_t m = row0; m < endRow; ++m) {
      __builtin_memset(p.y + static_cast<int64_t>(m) * p.N + column0, 0,
                       sizeof(float) * (endColumn - column0));
    }
    constexpr int32_t kStep = kTileColumns * kWidth;
    for (int32_t first = 0; first < p.inner; first += kRowInner) {
      const int32_t end = first + kRowInner < p.inner ? first + kRowInner : p.inner;
      int32_t column = column0;
      for (; column + kStep <= endColumn; column += kStep) {
        int32_t row = row0;
        for (; row + kTileRows <= endRow; row += kTileRows) {
          addRows<kTileRows>(p, row, column, first, end);
        }
        for (; row < endRow; ++row) addRows<1>(p, row, column, first, end);
      }
      for (int32_t row = row0; row < endRow; ++row) {
        addRest(p, row, column, endColumn, first, end);
      }
    }
  });
}

// Both transposed: no layer asks for it ------------------------------------------------------------

void multiplyPlainly(const MatrixProduct& p, Pool* pool) {
  parallelFor(pool, p.M, [&](int32_t m, char*) {
    for (int32_t n = 0; n < p.N; ++n) {
      float sum = 0.0f;
      for (int32_t i = 0; i < p.inner; ++i) {
        sum += p.a[m * p.aRow + i * p.aInner] * p.b[i * p.bInner + n * p.bColumn];
      }
      p.y[static_cast<int64_t>(m) * p.N + n] = sum;
    }
  });
}

}  // namespace

void matmul(Arguments arguments, Pool* pool) {
  const float* a = arguments.floats();
  const float* b = arguments.floats();
  float* y = arguments.floats();
  const int32_t M = arguments.integer(), N = arguments.integer(), inner = arguments.integer();
  const bool transposeA = arguments.integer() != 0, transposeB = arguments.integer() != 0;
  const MatrixProduct product = {a, b, y, M, N, inner,
                                 transposeA ? 1 : inner, transposeA ? M : 1,
                                 transposeB ? 1 : N, transposeB ? inner : 1};
  if (!transposeB) return multiplyByRows(product, pool);
  if (!transposeA) return multiplyByDots(product, pool);
  multiplyPlainly(product, pool);
}

}  // namespace plusx::PLUSX_ISA
