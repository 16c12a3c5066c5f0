#include "shortcut.h"

namespace plusx::PLUSX_ISA {

namespace {

struct ShortcutShape {
  int32_t N, H, W, C, OH, OW, K, stride, before;
};

ShortcutShape readShortcutShape(Arguments& a) {
  ShortcutShape s;
  s.N = a.integer();
  s.H = a.integer();
  s.W = a.integer();
  s.C = a.integer();
  s.OH = a.integer();
  s.OW = a.integer();
  s.K = a.integer();
  s.stride = a.integer();
  s.before = a.integer();
  return s;
}

}  // namespace

void identityShortcut(Arguments a, Pool* pool) {
  const float* x = a.floats();
  float* y = a.floats();
  const ShortcutShape s = readShortcutShape(a);
  parallelFor(pool, s.N * s.OH, [&](int32_t row, char*) {
    const int64_t n = row / s.OH, h = static_cast<int64_t>(row % s.OH) * s.stride;
    const float* from = x + (n * s.H + h) * s.W * s.C;
    float* to = y + static_cast<int64_t>(row) * s.OW * s.K;
    __builtin_memset(to, 0, sizeof(float) * s.OW * s.K);
    for (int32_t ow = 0; ow < s.OW; ++ow) {
      __builtin_memcpy(to + static_cast<int64_t>(ow) * s.K + s.before,
                       from + static_cast<int64_t>(ow) * s.stride * s.C, sizeof(float) * s.C);
    }
  });
}

void identityShortcutBackward(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  float* dx = a.floats();
  const ShortcutShape s = readShortcutShape(a);
  parallelFor(pool, s.N * s.H, [&](int32_t row, char*) {
    const int32_t n = row / s.H, h = row % s.H;
    float* to = dx + static_cast<int64_t>(row) * s.W * s.C;
    __builtin_memset(to, 0, sizeof(float) * s.W * s.C);
    if (h % s.stride != 0) return;
    const float* from = dy + (static_cast<int64_t>(n) * s.OH + h / s.stride) * s.OW * s.K + s.before;
    for (int32_t ow = 0; ow < s.OW; ++ow) {
      __builtin_memcpy(to + static_cast<int64_t>(ow) * s.stride * s.C,
                       from + static_cast<int64_t>(ow) * s.K, sizeof(float) * s.C);
    }
  });
}

}  // namespace plusx::PLUSX_ISA
