// dweight(k, r, s, i) = Σ_p dy(p, k) x(p@r,s, g·inputs + i), g the group of k.
//
// Bands of pixels are dealt out to `partials` sums by shape; a task adds one partial sum of one vector
// of k, (r, s, i) by (r, s, i), into its own part of the workspace; a last pass adds the partial sums
// in their order.
#include "spread.h"

namespace plusx::PLUSX_ISA {

namespace {

// sums(e, lane) += Σ_p x(p, e) dy(p, lane) for Elements consecutive e of one filter row and the
// pixels of one output row, pixelStep apart in x.
template <int Lanes, int Elements>
void accumulateGrouped(const float* x, int64_t pixelStep, const float* dy, int32_t pixels,
                       float* sums) {
  Vector acc[Elements];
#pragma GCC unroll 16
  for (int e = 0; e < Elements; ++e) acc[e] = load(sums + e * kWidth);
  for (int32_t p = 0; p < pixels; ++p, x += pixelStep, dy += kWidth) {
    const Vector gradient = load(dy);
#pragma GCC unroll 16
    for (int e = 0; e < Elements; ++e) acc[e] += element<Lanes>(x + e * Lanes) * gradient;
  }
#pragma GCC unroll 16
  for (int e = 0; e < Elements; ++e) store(sums + e * kWidth, acc[e]);
}

// As above for any number of elements, in registers' portions.
template <int Lanes, int Elements = 12>
void accumulateRow(int32_t elements, const float* x, int64_t pixelStep, const float* dy,
                   int32_t pixels, float* sums) {
  for (; elements >= Elements; elements -= Elements) {
    accumulateGrouped<Lanes, Elements>(x, pixelStep, dy, pixels, sums);
    x += Elements * Lanes;
    sums += Elements * kWidth;
  }
  if constexpr (Elements > 1) {
    if (elements > 0) {
      accumulateRow<Lanes, Elements / 2>(elements, x, pixelStep, dy, pixels, sums);
    }
  }
}

template <int Lanes, typename Map>
void sumGrouped(const ConvShape& s, const GroupBlocks& blocks, const Map* x, const Map* dy,
                float* workspace, int32_t partials, Pool* pool) {
  const int64_t pixelFloats = static_cast<int64_t>(blocks.inputs) * Lanes;
  const GroupedBand band = groupedBand(s.OH, s.OW, s.stride, s.R, s.S, pixelFloats);
  const int32_t rowBands = (s.OH + band.rows - 1) / band.rows;
  const int32_t columnBands = (s.OW + band.columns - 1) / band.columns;
  const int64_t bands = static_cast<int64_t>(s.N) * rowBands * columnBands;
  const int64_t perPartial = (bands + partials - 1) / partials;

  const int64_t rowStep = ((band.columns - 1) * s.stride + s.S) * pixelFloats;
  const int64_t windowFloats = ((band.rows - 1) * s.stride + s.R) * rowStep;
  const int64_t gradientFloats = static_cast<int64_t>(band.columns) * kWidth;
  const int32_t rowElements = s.S * blocks.inputs, elements = s.R * rowElements;
  const int64_t sumFloats = static_cast<int64_t>(elements) * kWidth;
  if ((windowFloats + gradientFloats + sumFloats) * sizeof(float) > kThreadScratchBytes) {
    __builtin_trap();
  }

  parallelFor(pool, partials * blocks.count, [&](int32_t task, char* scratch) {
    const GroupBlock block = groupBlock(blocks, task % blocks.count);
    const int32_t partial = task / blocks.count;
    float* window = reinterpret_cast<float*>(scratch);
    float* gradients = window + windowFloats;
    float* sums = gradients + gradientFloats;
    __builtin_memset(sums, 0, sizeof(float) * sumFloats);

    const int64_t first = partial * perPartial;
    const int64_t end = first + perPartial < bands ? first + perPartial : bands;
    for (int64_t index = first; index < end; ++index) {
      const int32_t ow = static_cast<int32_t>(index % columnBands) * band.columns;
      const int32_t oh = static_cast<int32_t>(index / columnBands % rowBands) * band.rows;
      const int64_t n = index / columnBands / rowBands;
      const int32_t rows = s.OH - oh < band.rows ? s.OH - oh : band.rows;
      const int32_t columns = s.OW - ow < band.columns ? s.OW - ow : band.columns;
      spreadWindow<Lanes, Map>(blocks, block,
                          {x + n * s.H * s.W * s.C, s.H, s.W, s.C, oh * s.stride - s.padding,
                           ow * s.stride - s.padding, (rows - 1) * s.stride + s.R,
                           (columns - 1) * s.stride + s.S, 1, 1, rowStep, 0, pixelFloats, Lanes},
                          window);
      for (int32_t i = 0; i < rows; ++i) {
        const Map* from = dy + ((n * s.OH + oh + i) * s.OW + ow) * s.K + block.firstOutput;
        for (int32_t j = 0; j < columns; ++j) {
          store(gradients + j * kWidth, loadLanes(from + static_cast<int64_t>(j) * s.K, block.lanes));
        }
        for (int32_t r = 0; r < s.R; ++r) {
          accumulateRow<Lanes>(rowElements, window + (i * s.stride + r) * rowStep,
                               s.stride * pixelFloats, gradients, columns,
                               sums + static_cast<int64_t>(r) * rowElements * kWidth);
        }
      }
    }
    float* to = workspace + static_cast<int64_t>(partial) * elements * s.K + block.firstOutput;
    for (int32_t e = 0; e < elements; ++e) {
      storeLanes(to + static_cast<int64_t>(e) * s.K, load(sums + e * kWidth), block.lanes);
    }
  });
}

}  // namespace

template <typename Map>
void groupedBackwardWeight(const ConvShape& s, const Map* x, const Map* dy, float* dweight,
                           float* workspace, int32_t partials, Pool* pool) {
  const GroupBlocks blocks = groupBlocks(s.groups, s.C / s.groups, s.K / s.groups);
  if (blocks.together > 1) {
    sumGrouped<kWidth>(s, blocks, x, dy, workspace, partials, pool);
  } else {
    sumGrouped<1>(s, blocks, x, dy, workspace, partials, pool);
  }
  const int32_t elements = s.R * s.S * blocks.inputs;
  constexpr int32_t kTaskChannels = 16;
  parallelFor(pool, (s.K + kTaskChannels - 1) / kTaskChannels, [&](int32_t task, char*) {
    const int32_t first = task * kTaskChannels;
    const int32_t end = first + kTaskChannels < s.K ? first + kTaskChannels : s.K;
    for (int32_t k = first; k < end; ++k) {
      for (int32_t e = 0; e < elements; ++e) {
        float sum = 0.0f;
        for (int32_t partial = 0; partial < partials; ++partial) {
          sum += workspace[(static_cast<int64_t>(partial) * elements + e) * s.K + k];
        }
        dweight[static_cast<int64_t>(k) * elements + e] = sum;
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
