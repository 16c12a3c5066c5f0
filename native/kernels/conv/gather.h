// One implicit matrix product: out(pixel, o) = Σ_{tap, i} in(pixel@tap, i) weight(o, tap, i).
//
// Forward is one of these; backward-input is one for each class of pixels modulo the stride, each
// with the taps that reach it, so that no multiplication by a known zero is done.
#pragma once
#include "conv.h"
#include "image.h"

namespace plusx::PLUSX_ISA {

template <typename Map>
struct Gather {
  Image<Map> image;  // (N, inH, inW, inC)
  int32_t N, inH, inW, inC;
  Map* out;  // (N, outH, outW, outC)
  int32_t outH, outW, outC;
  // The grid of output pixels: (row0 + i·step, column0 + j·step), i < gridH, j < gridW.
  int32_t gridH, gridW, row0, column0, step;
  // Tap t of grid pixel (i, j) reads in(i·inStride + tapRow[t], j·inStride + tapColumn[t]).
  int32_t inStride, taps;
  const int32_t* tapRow;
  const int32_t* tapColumn;
  // So many taps in a row read neighbouring columns: their channels lie side by side.
  int32_t tapRun;
  // (outC/kPanel, reduction, kPanel), see packWeights.
  const Factor<Map>* packed;
  Epilogue epilogue = {};
  // In how many tasks the output channels of a block of pixels are cut.
  int32_t channelSplits = 1;
  // Added to the sums, laid out as `out`; may be `out` itself. Or null.
  const Map* other = nullptr;
};

// Length of the packed reduction: all taps' channels in a row, filled up with zeros.
static inline int32_t reductionLength(int32_t taps, int32_t channels) {
  return (taps * channels + kChunk - 1) / kChunk * kChunk;
}

// A weight as (outputs, taps, reduction) through strides, in floats.
struct WeightView {
  const float* weight;
  int64_t outputStride, tapStride, reductionStride;
  int32_t outputs, channels;
};

// packed(panel, tap·channels + i, o) = weight(panel·kPanel + o, tapIndex[tap], i), zero beyond.
template <typename Factor>
void packWeights(const WeightView& view, const int32_t* tapIndex, int32_t taps, Factor* packed,
                 Pool* pool);

// One pixel's outputs of a panel; they lie `offset` numbers behind the output's start. `other`, added to
// them, or null.
template <typename Map>
inline void storePixel(const Epilogue& epilogue, const float* sums, int64_t offset, int32_t first,
                       int32_t channels, bool streaming, const Map* other, Map* to) {
  for (int32_t o = 0; o < channels; o += kWidth) {
    const int32_t lanes = channels - o < kWidth ? channels - o : kWidth;
    Vector value = load(sums + o);
    if (other) value += loadLanes(other + o, lanes);
    if (kIsFloat<Map> && epilogue.shift) {
      const float* residual = epilogue.residual ? epilogue.residual + offset + o : nullptr;
      value = epilogueOf(value, epilogue.shift + first + o, residual, epilogue.relu, lanes);
    }
    storeMap(to + o, value, lanes, streaming);
  }
}

template <typename Map>
void runGather(const Gather<Map>& gather, Pool* pool);

// Forward from whole rows, where the image has few channels: see rows.cpp. `packed` as for runGather.
template <typename Map>
bool multipliesRows(const ConvShape& shape);
template <typename Map>
void rowsForward(const ConvShape& shape, const Image<Map>& image, const Factor<Map>* packed, Map* y,
                 const Epilogue& epilogue, Pool* pool);

// dy (pixels, K), or what it is made of: where normX is there, the gradient of a batch normalisation's
// output, or of the relu's behind that. A pixel's is then
//   factor·(g - average - slope·(normX - mean)), g zero where normX·scale + shift is not above zero.
template <typename Map>
struct GradientRows {
  const Map* dy;
  int32_t K;
  const Map* normX;      // (pixels, K) or null
  const float* mean;     // (K)
  const float* factors;  // (3, K): factor, slope, average
  const float* scale;    // (K), or null: no relu
  const float* shift;
};

// dweight by the same implicit product; `workspace`: (partials, panels of k, taps, c, kPanel).
template <typename Map>
void gatherWeight(const ConvShape& shape, const Image<Map>& image, const GradientRows<Map>& gradient,
                  float* dweight, float* workspace, int32_t partials, Pool* pool);

}  // namespace plusx::PLUSX_ISA
