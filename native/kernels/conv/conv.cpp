#include "conv.h"

#include "gather.h"

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
  return shape;
}

void conv2d(Arguments a, Pool* pool) {
  const float* x = a.floats();
  const float* weight = a.floats();
  float* y = a.floats();
  float* workspace = a.floats();
  const ConvShape s = readShape(a);
  int32_t tapRow[kMaxTaps], tapColumn[kMaxTaps], tapIndex[kMaxTaps];
  const int32_t taps = s.R * s.S;
  if (taps > kMaxTaps) __builtin_trap();
  for (int32_t tap = 0; tap < taps; ++tap) {
    tapRow[tap] = tap / s.S - s.padding;
    tapColumn[tap] = tap % s.S - s.padding;
    tapIndex[tap] = tap;
  }
  const int64_t filter = static_cast<int64_t>(taps) * s.C;
  packWeights({weight, filter, s.C, 1, s.K, s.C}, tapIndex, taps, workspace, pool);
  runGather({x,      s.N, s.H, s.W,     s.C,  y,      s.OH,     s.OW, s.K, s.OH, s.OW,
             0,      0,   1,   s.stride, taps, tapRow, tapColumn, workspace},
            pool);
}

void conv2dBackwardInput(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  const float* weight = a.floats();
  float* dx = a.floats();
  float* workspace = a.floats();
  const ConvShape s = readShape(a);
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
      const int32_t gridH = (s.H - row0 + s.stride - 1) / s.stride;
      const int32_t gridW = (s.W - column0 + s.stride - 1) / s.stride;
      packWeights({weight, 1, s.C, filter, s.C, s.K}, tapIndex, taps, workspace, pool);
      runGather({dy,   s.N,     s.OH,     s.OW, s.K,  dx,     s.H,       s.W, s.C, gridH, gridW,
                 row0, column0, s.stride, 1,    taps, tapRow, tapColumn, workspace},
                pool);
    }
  }
}

}  // namespace plusx::PLUSX_ISA
