// A window of an image laid out for one vector of output channels, with zeros where it reaches over
// the image's edge: its elements are vectors (Lanes = kWidth), lane by lane the channel that this
// lane's group sees, or single numbers (Lanes = 1) where all lanes belong to one group.
#pragma once
#include "grouped.h"

namespace plusx::PLUSX_ISA {

// What an accumulator is multiplied by: a vector, or a number for all lanes.
template <int Lanes>
PLUSX_INLINE auto element(const float* p) {
  if constexpr (Lanes == 1) {
    return *p;
  } else {
    return load(p);
  }
}

// Pixels that a task works on: so many rows and columns of the grid.
struct GroupedBand {
  int32_t rows, columns;
};

// The window stays in the second-level cache, and R rows of it in the first.
constexpr int64_t kWindowFloats = (int64_t{256} << 10) / sizeof(float);
constexpr int64_t kMaxWindowFloats = (int64_t{4} << 20) / sizeof(float);

// By shape alone. `pixelFloats`: of one pixel of the window. A filter whose window does not fit even
// so is refused by program.ts.
static inline GroupedBand groupedBand(int32_t gridH, int32_t gridW, int32_t stride, int32_t rows,
                                      int32_t columns, int64_t pixelFloats) {
  const int32_t parts = (gridW + kGroupedPixels - 1) / kGroupedPixels;
  GroupedBand band = {1, (gridW + parts - 1) / parts};
  const auto rowFloats = [&] {
    return (static_cast<int64_t>(band.columns - 1) * stride + columns) * pixelFloats;
  };
  while (band.columns > 1 && rowFloats() * rows > kMaxWindowFloats) band.columns /= 2;
  const int64_t fit = rowFloats() > 0 ? kWindowFloats / rowFloats() : gridH;
  const int64_t grid = (fit - rows) / stride + 1;
  band.rows = static_cast<int32_t>(grid < 1 ? 1 : grid < gridH ? grid : gridH);
  return band;
}

// Where the window lies in an image of (H, W, C), and where its elements go: column q·phases + phase
// of the window, of those that a stride leaves, to (row, phase, q), its channels inputStep apart.
template <typename Map>
struct GroupedWindow {
  const Map* image;
  int32_t H, W, C;
  int32_t top, left, rows, columns;
  int32_t stride, phases;
  int64_t rowStep, phaseStep, columnStep, inputStep;
};

#if defined(__GNUC__) && !defined(__clang__)
#define PLUSX_SHUFFLES 1
#endif

// The channels of one pixel, lane by lane; `x` points at the first group's first channel.
template <int Lanes, typename Map>
PLUSX_INLINE void spreadPixel(const GroupBlocks& blocks, const GroupBlock& block, const Map* x,
                              IntVector group, float* to, int64_t inputStep) {
  if constexpr (Lanes == 1) {
    for (int32_t i = 0; i < blocks.inputs; ++i) to[i * inputStep] = x[i];
    return;
  }
#ifdef PLUSX_SHUFFLES
  if (blocks.inputs == blocks.outputs) {
    const Vector channels = loadLanes(x, block.lanes);
    const IntVector first = group * blocks.inputs;
    for (int32_t i = 0; i < blocks.inputs; ++i) {
      store(to + i * inputStep, __builtin_shuffle(channels, first + i));
    }
    return;
  }
#endif
  for (int32_t i = 0; i < blocks.inputs; ++i) {
    for (int32_t lane = 0; lane < kWidth; ++lane) {
      to[i * inputStep + lane] = lane < block.lanes ? static_cast<float>(x[group[lane] * blocks.inputs + i]) : 0.0f;
    }
  }
}

template <int Lanes, typename Map>
void spreadWindow(const GroupBlocks& blocks, const GroupBlock& block,
                  const GroupedWindow<Map>& window, float* to) {
  IntVector group = {};
  for (int32_t lane = 0; lane < kWidth; ++lane) group[lane] = lane / blocks.outputs;
  for (int32_t row = 0; row < window.rows; ++row, to += window.rowStep) {
    const int32_t h = window.top + row;
    const bool rowInside = h >= 0 && h < window.H;
    const Map* line = window.image + static_cast<int64_t>(h) * window.W * window.C +
                      block.firstGroup * blocks.inputs;
    int32_t phase = 0;
    float* group0 = to;
    for (int32_t column = 0; column < window.columns; ++column) {
      const int32_t w = window.left + column;
      float* pixel = group0 + phase * window.phaseStep;
      if (phase >= window.phases) {
        // No tap reads it.
      } else if (rowInside && w >= 0 && w < window.W) {
        spreadPixel<Lanes>(blocks, block, line + static_cast<int64_t>(w) * window.C, group, pixel,
                           window.inputStep);
      } else {
        for (int32_t i = 0; i < blocks.inputs; ++i) {
          __builtin_memset(pixel + i * window.inputStep, 0, sizeof(float) * Lanes);
        }
      }
      if (++phase < window.stride) continue;
      phase = 0;
      group0 += window.columnStep;
    }
  }
}

}  // namespace plusx::PLUSX_ISA
