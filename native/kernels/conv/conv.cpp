#include "conv.h"

#include "gather.h"
#include "kernels/grouped/grouped.h"
#include "kernels/winograd/winograd.h"

namespace plusx::PLUSX_ISA {

// More taps than any network here has (the largest filter is 11×11).
constexpr int32_t kMaxTaps = 1024;

ConvShape readShape(Arguments& a) {
  ConvShape shape;
  shape.N = a.integer();
  shape.H = a.integer();
  shape.W = a.integer();
  shape.C = a.integer();
  shape.K = a.integer();
  shape.R = a.integer();
  shape.S = a.integer();
  shape.OH = a.integer();
  shape.OW = a.integer();
  shape.stride = a.integer();
  shape.padding = a.integer();
  shape.groups = a.integer();
  return shape;
}

void readNormalization(Arguments& a, Normalization& normalization) {
  const int32_t normalized = a.integer();
  if (normalized > Normalization::kMaxChannels) __builtin_trap();
  normalization.channels = normalized;
  float mean[Normalization::kMaxChannels];
  for (int32_t c = 0; c < normalized; ++c) mean[c] = a.number();
  for (int32_t c = 0; c < normalized; ++c) {
    const float std = a.number();
    for (int32_t v = 0; v < 256; ++v) {
      const float scaled = static_cast<float>(v) / 255.0f;
      const float centred = scaled - mean[c];
      normalization.values[c][v] = centred / std;
    }
  }
}

ConvChoice readChoice(Arguments& a) {
  ConvChoice choice;
  choice.algorithm = static_cast<ConvAlgorithm>(a.integer());
  choice.partials = a.integer();
  choice.blockTiles = a.integer();
  choice.blockChannels = a.integer();
  choice.splits = a.integer();
  return choice;
}

namespace {

template <typename Factor>
void packForward(const float* weight, int32_t K, int32_t taps, int32_t C, Factor* packed,
                 Pool* pool) {
  int32_t tapIndex[kMaxTaps];
  if (taps > kMaxTaps) __builtin_trap();
  for (int32_t tap = 0; tap < taps; ++tap) tapIndex[tap] = tap;
  const int64_t filter = static_cast<int64_t>(taps) * C;
  packWeights({weight, filter, C, 1, K, C}, tapIndex, taps, packed, pool);
}

template <typename Map>
Image<Map> imageOf(const ConvShape& s, const void* x, const Normalization& normalization) {
  return {x, normalization.channels > 0 ? &normalization : nullptr, int64_t{s.W} * s.C};
}

template <typename Map>
void gatherForward(const ConvShape& s, const Image<Map>& image, const Factor<Map>* packed, Map* y,
                   const Epilogue& epilogue, int32_t splits, Pool* pool) {
  if (multipliesRows<Map>(s)) return rowsForward(s, image, packed, y, epilogue, pool);
  int32_t tapRow[kMaxTaps], tapColumn[kMaxTaps];
  const int32_t taps = s.R * s.S;
  if (taps > kMaxTaps) __builtin_trap();
  for (int32_t tap = 0; tap < taps; ++tap) {
    tapRow[tap] = tap / s.S - s.padding;
    tapColumn[tap] = tap % s.S - s.padding;
  }
  runGather<Map>({image,  s.N, s.H, s.W,     s.C,  y,      s.OH,     s.OW, s.K, s.OH, s.OW,
                  0,      0,   1,   s.stride, taps, tapRow, tapColumn, s.S, packed, epilogue, splits},
                 pool);
}

// Every stride-th pixel of every stride-th row from one on, those that no tap reaches: what is in `other`,
// or zero.
template <typename Map>
void fillPixels(const ConvShape& s, int32_t row0, int32_t column0, const Map* other, Map* dx,
                Pool* pool) {
  if (other == dx) return;
  const int32_t rows = (s.H - row0 + s.stride - 1) / s.stride;
  const bool streaming = streams<Map>(int64_t{s.N} * s.H * s.W, s.C);
  parallelFor(pool, s.N * rows, [&](int32_t task, char*) {
    const int64_t row = static_cast<int64_t>(task / rows) * s.H + row0 + task % rows * s.stride;
    for (int32_t column = column0; column < s.W; column += s.stride) {
      const int64_t pixel = (row * s.W + column) * s.C;
      for (int32_t c = 0; c < s.C; c += kWidth) {
        const int32_t lanes = s.C - c < kWidth ? s.C - c : kWidth;
        const Vector value = other ? loadLanes(other + pixel + c, lanes) : Vector{};
        storeMap(dx + pixel + c, value, lanes, streaming);
      }
    }
  });
}

template <typename Map>
void gatherBackwardInput(const ConvShape& s, const Map* dy, const float* weight, const Map* other,
                         Map* dx, Factor<Map>* workspace, Pool* pool) {
  if (s.R * s.S > kMaxTaps) __builtin_trap();
  const int64_t filter = static_cast<int64_t>(s.R) * s.S * s.C;
  for (int32_t row0 = 0; row0 < s.stride && row0 < s.H; ++row0) {
    for (int32_t column0 = 0; column0 < s.stride && column0 < s.W; ++column0) {
      // h = oh·stride - padding + r: the taps r that reach row0 differ from it by strides.
      int32_t tapRow[kMaxTaps], tapColumn[kMaxTaps], tapIndex[kMaxTaps], taps = 0;
      for (int32_t r = 0; r < s.R; ++r) {
        if ((row0 + s.padding - r) % s.stride != 0) continue;
        for (int32_t q = 0; q < s.S; ++q) {
          if ((column0 + s.padding - q) % s.stride != 0) continue;
          tapRow[taps] = (row0 + s.padding - r) / s.stride;
          tapColumn[taps] = (column0 + s.padding - q) / s.stride;
          tapIndex[taps++] = r * s.S + q;
        }
      }
      if (taps == 0) {
        fillPixels(s, row0, column0, other, dx, pool);
        continue;
      }
      const int32_t gridH = (s.H - row0 + s.stride - 1) / s.stride;
      const int32_t gridW = (s.W - column0 + s.stride - 1) / s.stride;
      packWeights({weight, 1, s.C, filter, s.C, s.K}, tapIndex, taps, workspace, pool);
      const Image<Map> image = {dy, nullptr, 0};
      runGather<Map>({image, s.N,    s.OH,     s.OW, s.K,  dx,     s.H,       s.W, s.C, gridH, gridW,
                      row0, column0, s.stride, 1,    taps, tapRow, tapColumn, 1, workspace,
                      {},   1,       other},
                     pool);
    }
  }
}

}  // namespace

template <typename Map>
void conv2d(Arguments a, Pool* pool) {
  const void* x = a.slot();
  const float* weight = a.floats();
  Map* y = a.tensor<Map>();
  void* workspace = a.slot();
  const float* scale = a.floats();
  const float* shift = a.floats();
  float* statistics = a.floats();
  const ConvShape s = readShape(a);
  const ConvChoice choice = readChoice(a);
  Normalization normalization;
  readNormalization(a, normalization);
  Factor<Map>* packed = static_cast<Factor<Map>*>(workspace);
  if (choice.algorithm == ConvAlgorithm::gemm) {
    packForward(weight, s.K, s.R * s.S, s.C, packed, pool);
    return gatherForward(s, imageOf<Map>(s, x, normalization), packed, y, {}, 1, pool);
  }
  if (normalization.channels > 0) __builtin_trap();
  const Map* map = static_cast<const Map*>(x);
  if (choice.algorithm == ConvAlgorithm::grouped) {
    return groupedForward(s, map, weight, y, static_cast<float*>(workspace), pool);
  }
  const WinogradPass<Map> pass = {map, s.N, s.H, s.W, s.C, y, s.OH, s.OW, s.K, s.padding, packed,
                                  {scale, shift}, statistics, choice.blockTiles, choice.splits};
  if (choice.blockChannels > 0) {
    const auto run = s.stride == 1 ? runWinogradPanels<Stride1, Map> : runWinogradPanels<Stride2, Map>;
    return run(pass, {weight, s.K, s.C, false}, packed, pool);
  }
  if (s.stride == 1) {
    packWinogradForward<Stride1>(weight, s.K, s.C, packed, pool);
    runWinograd<Stride1>(pass, pool);
  } else {
    packWinogradForward<Stride2>(weight, s.K, s.C, packed, pool);
    runWinograd<Stride2>(pass, pool);
  }
}

void packWeight(Arguments a, Pool* pool) {
  const float* weight = a.floats();
  const float* scale = a.floats();
  float* packed = a.floats();
  const int32_t transformedStride = a.integer();  // 0: for the matrix product
  const int32_t K = a.integer(), taps = a.integer(), C = a.integer();
  if (transformedStride == 0) {
    packForward(weight, K, taps, C, packed, pool);
  } else if (transformedStride == 1) {
    packWinogradForward<Stride1>(weight, K, C, packed, pool);
  } else {
    packWinogradForward<Stride2>(weight, K, C, packed, pool);
  }
  if (!scale) return;
  const int32_t panels = (K + kPanel - 1) / kPanel;
  const int32_t rows = transformedStride > 0 ? kFilters * kFilters * reductionLength(1, C)
                                             : reductionLength(taps, C);
  parallelFor(pool, panels, [&](int32_t panel, char*) {
    float* to = packed + static_cast<int64_t>(panel) * rows * kPanel;
    for (int half = 0; half < kPanel; half += kWidth) {
      const int32_t k = panel * kPanel + half, left = K - k < kWidth ? K - k : kWidth;
      if (left <= 0) break;
      const Vector factor = loadLanes(scale + k, left);
      for (int32_t row = 0; row < rows; ++row) {
        float* at = to + row * kPanel + half;
        store(at, load(at) * factor);
      }
    }
  });
}

void conv2dInference(Arguments a, Pool* pool) {
  const void* x = a.slot();
  const float* weight = a.floats();
  const float* shift = a.floats();
  const float* residual = a.floats();
  float* y = a.floats();
  const bool transformed = a.integer() != 0, relu = a.integer() != 0;
  const ConvShape s = readShape(a);
  const ConvChoice choice = readChoice(a);
  Normalization normalization;
  readNormalization(a, normalization);
  const Epilogue epilogue = {shift, residual, relu};
  if (choice.algorithm == ConvAlgorithm::gemm) {
    const Image<float> image = imageOf<float>(s, x, normalization);
    return gatherForward(s, image, weight, y, epilogue, choice.splits, pool);
  }
  if (normalization.channels > 0) __builtin_trap();
  const float* weights = transformed ? weight : nullptr;
  const auto run = s.stride == 1 ? runWinograd<Stride1, float> : runWinograd<Stride2, float>;
  const float* map = static_cast<const float*>(x);
  run({map, s.N, s.H, s.W, s.C, y, s.OH, s.OW, s.K, s.padding, weights, {}, nullptr,
       choice.blockTiles, choice.splits, weight, epilogue},
      pool);
}

template <typename Map>
void conv2dBackwardInput(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  const float* weight = a.floats();
  const Map* other = a.tensor<Map>();
  Map* dx = a.tensor<Map>();
  void* workspace = a.slot();
  const bool weightPacked = a.integer() != 0;
  const ConvShape s = readShape(a);
  const ConvChoice choice = readChoice(a);
  if (other && choice.algorithm != ConvAlgorithm::gemm) __builtin_trap();
  if (weightPacked && choice.algorithm != ConvAlgorithm::winograd) __builtin_trap();
  if (choice.algorithm == ConvAlgorithm::grouped) {
    return groupedBackwardInput(s, dy, weight, dx, static_cast<float*>(workspace), pool);
  }
  Factor<Map>* packed = static_cast<Factor<Map>*>(workspace);
  if (choice.algorithm == ConvAlgorithm::gemm) {
    return gatherBackwardInput(s, dy, weight, other, dx, packed, pool);
  }
  // Of stride 2, dx's first pair of rows and columns begins at dy's first.
  const int32_t padding = s.stride == 1 ? 2 - s.padding : 0;
  const WinogradPass<Map> pass = {dy, s.N, s.OH, s.OW, s.K, dx, s.H, s.W, s.C, padding, packed, {},
                                  nullptr, choice.blockTiles, choice.splits};
  if (choice.blockChannels > 0) {
    const auto run =
        s.stride == 1 ? runWinogradPanels<Stride1, Map> : runWinogradPanels<Stride2Backward, Map>;
    return run(pass, {weight, s.K, s.C, true}, packed, pool);
  }
  if (s.stride == 1) {
    if (!weightPacked) packWinogradBackward<Stride1>(weight, s.K, s.C, packed, pool);
    runWinograd<Stride1>(pass, pool);
  } else {
    if (!weightPacked) packWinogradBackward<Stride2Backward>(weight, s.K, s.C, packed, pool);
    runWinograd<Stride2Backward>(pass, pool);
  }
}

template <typename Map>
void conv2dBackwardWeight(Arguments a, Pool* pool) {
  const void* x = a.slot();
  const Map* dy = a.tensor<Map>();
  float* dweight = a.floats();
  float* workspace = a.floats();
  const float* scale = a.floats();
  const float* shift = a.floats();
  const bool accumulate = a.integer() != 0;
  const ConvShape s = readShape(a);
  const ConvChoice choice = readChoice(a);
  const Map* normX = a.tensor<Map>();
  const float* normMean = a.floats();
  const float* normFactors = a.floats();
  const float* normScale = a.floats();
  const float* normShift = a.floats();
  Normalization normalization;
  readNormalization(a, normalization);
  if (accumulate && choice.algorithm != ConvAlgorithm::winograd) __builtin_trap();
  if (choice.algorithm == ConvAlgorithm::gemm) {
    const GradientRows<Map> rows = {dy, s.K, normX, normMean, normFactors, normScale, normShift};
    const Image<Map> image = imageOf<Map>(s, x, normalization);
    return gatherWeight(s, image, rows, dweight, workspace, choice.partials, pool);
  }
  if (normX || normalization.channels > 0) __builtin_trap();
  const Map* map = static_cast<const Map*>(x);
  if (choice.algorithm == ConvAlgorithm::grouped) {
    return groupedBackwardWeight(s, map, dy, dweight, workspace, choice.partials, pool);
  }
  const auto run = s.stride == 1 ? runWinogradWeight<Stride1, Map> : runWinogradWeight<Stride2, Map>;
  run(s, map, {scale, shift}, dy, dweight, accumulate, workspace,
      {choice.partials, choice.blockTiles, choice.blockChannels, choice.blockChannels}, pool);
}

}  // namespace plusx::PLUSX_ISA
