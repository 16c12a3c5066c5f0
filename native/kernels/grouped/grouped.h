// Convolution of groups of channels that do not see each other, and its gradients (NHWC).
//
//   y(p, k) = Σ_{r,s,i} x(p@r,s, g·inputs + i) weight(k, r, s, i),   g = k / outputs the group of k
//
// A vector holds output channels: several small groups side by side, or a part of one large group. So
// that it multiplies without shuffling, a task first spreads its inputs: the i-th channel of each
// lane's group in each lane (spread.h). A group that fills a vector alone shares one number.
//
// Source: Zhang et al. 2018, arXiv 1809.10170 (direct convolution on a layout of its own).
#pragma once
#include "kernels/conv/conv.h"

namespace plusx::PLUSX_ISA {

// Pixels whose sums stay in registers. With 32 registers 28 accumulate, with 16 registers 12.
constexpr int kGroupedPixels = 2 * kTilePixels;

// How output channels are cut into vectors: by their number and the vector's width.
struct GroupBlocks {
  int32_t groups, inputs, outputs;  // channels of one group
  int32_t together;                 // groups in a vector; 1: it is a part of one group
  int32_t perGroup;                 // vectors of a group where it has its own
  int32_t count;
};

struct GroupBlock {
  int32_t firstGroup, firstOutput, lanes;
};

static inline GroupBlocks groupBlocks(int32_t groups, int32_t inputs, int32_t outputs) {
  GroupBlocks blocks = {groups, inputs, outputs, 1, 1, 0};
  if (outputs <= kWidth / 2) {
    blocks.together = kWidth / outputs;
    blocks.count = (groups + blocks.together - 1) / blocks.together;
  } else {
    blocks.perGroup = (outputs + kWidth - 1) / kWidth;
    blocks.count = groups * blocks.perGroup;
  }
  return blocks;
}

static inline GroupBlock groupBlock(const GroupBlocks& blocks, int32_t index) {
  const int32_t group = index / blocks.perGroup * blocks.together;
  const int32_t first = group * blocks.outputs + index % blocks.perGroup * kWidth;
  const int32_t end = group + blocks.together < blocks.groups ? group + blocks.together
                                                               : blocks.groups;
  const int32_t left = end * blocks.outputs - first;
  return {group, first, left < kWidth ? left : kWidth};
}

// Forward, or one class of pixels of backward-input: the taps are a rectangle of rows × columns.
template <typename Map>
struct GroupedGather {
  const Map* in;  // (N, inH, inW, groups·inputs)
  int32_t N, inH, inW;
  Map* out;  // (N, outH, outW, groups·outputs)
  int32_t outH, outW;
  // The grid of output pixels: (row0 + i·step, column0 + j·step), i < gridH, j < gridW.
  int32_t gridH, gridW, row0, column0, step;
  // Tap (r, s) of grid pixel (i, j) reads in(i·inStride + firstRow + r, j·inStride + firstColumn + s).
  int32_t inStride, firstRow, firstColumn, rows, columns;
  // (blocks, rows, columns, inputs, kWidth)
  const float* packed;
};

template <typename Map>
void groupedForward(const ConvShape& shape, const Map* x, const float* weight, Map* y,
                    float* workspace, Pool* pool);
template <typename Map>
void groupedBackwardInput(const ConvShape& shape, const Map* dy, const float* weight, Map* dx,
                          float* workspace, Pool* pool);
// `workspace`: (partials, R·S·C/groups, K).
template <typename Map>
void groupedBackwardWeight(const ConvShape& shape, const Map* x, const Map* dy, float* dweight,
                           float* workspace, int32_t partials, Pool* pool);

}  // namespace plusx::PLUSX_ISA
