// Forward and backward-input of grouped convolutions: a vector of output channels of a row's pixels
// stays in registers while all taps are added.
#include "spread.h"

namespace plusx::PLUSX_ISA {

namespace {

// The taps of one output row: `in` points at its first pixel's first tap. An input's columns lie by
// their phase modulo the stride, so that a row's pixels are neighbours.
struct RowTaps {
  const float* in;
  int32_t rows, columns, inputs, stride;
  int64_t rowStep, phaseStep, inputStep;
  const float* weights;  // (rows, columns, inputs, kWidth)
};

template <int Lanes, int Pixels>
void multiplyPixels(const RowTaps& taps, float* out) {
  Vector acc[Pixels] = {};
  const float* weights = taps.weights;
  for (int32_t r = 0; r < taps.rows; ++r) {
    const float* row = taps.in + r * taps.rowStep;
    for (int32_t s = 0; s < taps.columns; ++s) {
      const float* from =
          row + s % taps.stride * taps.phaseStep + static_cast<int64_t>(s / taps.stride) * Lanes;
      for (int32_t i = 0; i < taps.inputs; ++i) {
        const Vector w = load(weights);
#pragma GCC unroll 32
        for (int t = 0; t < Pixels; ++t) acc[t] += element<Lanes>(from + t * Lanes) * w;
        from += taps.inputStep;
        weights += kWidth;
      }
    }
  }
#pragma GCC unroll 32
  for (int t = 0; t < Pixels; ++t) store(out + t * kWidth, acc[t]);
}

// At least `pixels`; what is beyond them is undefined.
template <int Lanes, int Pixels = kGroupedPixels>
void multiplyRow(int32_t pixels, const RowTaps& taps, float* out) {
  // 28, 21, 14, 12, 10, 8, 7, 4, 2, 1: the rows of ImageNet's networks leave none over.
  constexpr int kSmaller = Pixels > 14  ? Pixels - 7
                           : Pixels > 8 ? Pixels - 2
                           : Pixels > 7 ? 7
                                        : (Pixels + 1) / 2;
  if constexpr (Pixels > 1) {
    if (pixels <= kSmaller) return multiplyRow<Lanes, kSmaller>(pixels, taps, out);
  }
  multiplyPixels<Lanes, Pixels>(taps, out);
}

template <int Lanes, typename Map>
void runGrouped(const GroupBlocks& blocks, const GroupedGather<Map>& g, Pool* pool) {
  const int32_t phases = g.inStride < g.columns ? g.inStride : g.columns;
  const GroupedBand band = groupedBand(g.gridH, g.gridW, g.inStride, g.rows, g.columns,
                                       static_cast<int64_t>(blocks.inputs) * Lanes);
  const int32_t rowBands = (g.gridH + band.rows - 1) / band.rows;
  const int32_t columnBands = (g.gridW + band.columns - 1) / band.columns;
  const int32_t inC = blocks.groups * blocks.inputs, outC = blocks.groups * blocks.outputs;
  const int64_t filter = static_cast<int64_t>(g.rows) * g.columns * blocks.inputs * kWidth;

  // Pixels of a row, of one phase.
  const int64_t length = band.columns + (g.columns > 0 ? (g.columns - 1) / g.inStride : 0);
  const int64_t phaseStep = length * Lanes, inputStep = phases * phaseStep;
  const int64_t rowStep = blocks.inputs * inputStep;
  const int32_t windowRows = (band.rows - 1) * g.inStride + g.rows;
  constexpr int64_t kBeyond = kGroupedPixels * Lanes;
  if ((windowRows * rowStep + kBeyond) * sizeof(float) > kThreadScratchBytes) __builtin_trap();

  parallelFor(pool, g.N * rowBands * columnBands * blocks.count, [&](int32_t task, char* scratch) {
    const GroupBlock block = groupBlock(blocks, task % blocks.count);
    const int32_t place = task / blocks.count;
    const int32_t j0 = place % columnBands * band.columns;
    const int32_t i0 = place / columnBands % rowBands * band.rows;
    const int32_t n = place / columnBands / rowBands;
    const int32_t rows = g.gridH - i0 < band.rows ? g.gridH - i0 : band.rows;
    const int32_t columns = g.gridW - j0 < band.columns ? g.gridW - j0 : band.columns;
    float* window = reinterpret_cast<float*>(scratch);
    if (g.rows > 0) {
      spreadWindow<Lanes, Map>(
          blocks, block,
          {g.in + static_cast<int64_t>(n) * g.inH * g.inW * inC, g.inH, g.inW, inC,
           i0 * g.inStride + g.firstRow, j0 * g.inStride + g.firstColumn,
           (rows - 1) * g.inStride + g.rows, (columns - 1) * g.inStride + g.columns, g.inStride,
           phases, rowStep, phaseStep, Lanes, inputStep},
          window);
      // Read by pixels beyond the last: any number will do but one that is slow to compute with.
      __builtin_memset(window + windowRows * rowStep, 0, sizeof(float) * kBeyond);
    }
    for (int32_t i = 0; i < rows; ++i) {
      float result[kGroupedPixels * kWidth];
      multiplyRow<Lanes>(columns,
                         {window + i * g.inStride * rowStep, g.rows, g.columns, blocks.inputs,
                          g.inStride, rowStep, phaseStep, inputStep,
                          g.packed + task % blocks.count * filter},
                         result);
      const int64_t row = static_cast<int64_t>(n) * g.outH + g.row0 + (i0 + i) * g.step;
      for (int32_t j = 0; j < columns; ++j) {
        const int64_t pixel = row * g.outW + g.column0 + (j0 + j) * g.step;
        storeLanes(g.out + pixel * outC + block.firstOutput, load(result + j * kWidth),
                   block.lanes);
      }
    }
  });
}

template <typename Map>
void runGrouped(const GroupBlocks& blocks, const GroupedGather<Map>& gather, Pool* pool) {
  if (blocks.together > 1) return runGrouped<kWidth>(blocks, gather, pool);
  return runGrouped<1>(blocks, gather, pool);
}

// packed(block, r, s, i, lane) = at(the lane's output channel, r, s, i), zero beyond the last lane.
template <typename At>
void packGrouped(const GroupBlocks& blocks, int32_t rows, int32_t columns, float* packed,
                 Pool* pool, const At& at) {
  const int64_t filter = static_cast<int64_t>(rows) * columns * blocks.inputs * kWidth;
  parallelFor(pool, blocks.count, [&](int32_t index, char*) {
    const GroupBlock block = groupBlock(blocks, index);
    float* to = packed + index * filter;
    for (int32_t r = 0; r < rows; ++r) {
      for (int32_t s = 0; s < columns; ++s) {
        for (int32_t i = 0; i < blocks.inputs; ++i, to += kWidth) {
          for (int32_t lane = 0; lane < kWidth; ++lane) {
            to[lane] = lane < block.lanes ? at(block.firstOutput + lane, r, s, i) : 0.0f;
          }
        }
      }
    }
  });
}

int32_t floorDivide(int32_t a, int32_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

}  // namespace

template <typename Map>
void groupedForward(const ConvShape& s, const Map* x, const float* weight, Map* y,
                    float* workspace, Pool* pool) {
  const GroupBlocks blocks = groupBlocks(s.groups, s.C / s.groups, s.K / s.groups);
  packGrouped(blocks, s.R, s.S, workspace, pool,
              [&](int32_t k, int32_t r, int32_t q, int32_t i) {
                const int64_t tap = (static_cast<int64_t>(k) * s.R + r) * s.S + q;
                return weight[tap * blocks.inputs + i];
              });
  runGrouped<Map>(blocks,
             {x, s.N, s.H, s.W, y, s.OH, s.OW, s.OH, s.OW, 0, 0, 1, s.stride, -s.padding,
              -s.padding, s.R, s.S, workspace},
             pool);
}

template <typename Map>
void groupedBackwardInput(const ConvShape& s, const Map* dy, const float* weight, Map* dx,
                          float* workspace, Pool* pool) {
  const GroupBlocks blocks = groupBlocks(s.groups, s.K / s.groups, s.C / s.groups);
  for (int32_t row0 = 0; row0 < s.stride && row0 < s.H; ++row0) {
    for (int32_t column0 = 0; column0 < s.stride && column0 < s.W; ++column0) {
      // h = oh·stride - padding + r: from the last tap to the first, oh rises by one and r falls by
      // the stride.
      const int32_t lastRow = floorDivide(row0 + s.padding, s.stride);
      const int32_t lastColumn = floorDivide(column0 + s.padding, s.stride);
      const int32_t firstRow = floorDivide(row0 + s.padding - s.R, s.stride) + 1;
      const int32_t firstColumn = floorDivide(column0 + s.padding - s.S, s.stride) + 1;
      const bool reached = firstRow <= lastRow && firstColumn <= lastColumn;
      const int32_t rows = reached ? lastRow - firstRow + 1 : 0;
      const int32_t columns = reached ? lastColumn - firstColumn + 1 : 0;
      const int32_t gridH = (s.H - row0 + s.stride - 1) / s.stride;
      const int32_t gridW = (s.W - column0 + s.stride - 1) / s.stride;
      packGrouped(blocks, rows, columns, workspace, pool,
                  [&](int32_t c, int32_t r, int32_t q, int32_t i) {
                    const int32_t k = c / blocks.outputs * blocks.inputs + i;
                    const int32_t tapRow = row0 + s.padding - (firstRow + r) * s.stride;
                    const int32_t tapColumn = column0 + s.padding - (firstColumn + q) * s.stride;
                    const int64_t tap = (static_cast<int64_t>(k) * s.R + tapRow) * s.S + tapColumn;
                    return weight[tap * blocks.outputs + c % blocks.outputs];
                  });
      runGrouped<Map>(blocks,
                 {dy, s.N, s.OH, s.OW, dx, s.H, s.W, gridH, gridW, row0, column0, s.stride, 1,
                  firstRow, firstColumn, rows, columns, workspace},
                 pool);
    }
  }
}

}  // namespace plusx::PLUSX_ISA
