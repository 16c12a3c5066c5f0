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

template <typename Map>
void identityShortcut(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  Map* y = a.tensor<Map>();
  const ShortcutShape s = readShortcutShape(a);
  parallelFor(pool, s.N * s.OH, [&](int32_t row, char*) {
    const int64_t n = row / s.OH, h = static_cast<int64_t>(row % s.OH) * s.stride;
    const Map* from = x + (n * s.H + h) * s.W * s.C;
    Map* to = y + static_cast<int64_t>(row) * s.OW * s.K;
    __builtin_memset(to, 0, sizeof(Map) * s.OW * s.K);
    for (int32_t ow = 0; ow < s.OW; ++ow) {
      __builtin_memcpy(to + static_cast<int64_t>(ow) * s.K + s.before,
                       from + static_cast<int64_t>(ow) * s.stride * s.C, sizeof(Map) * s.C);
    }
  });
}

template <typename Map>
void identityShortcutBackward(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  Map* dx = a.tensor<Map>();
  const ShortcutShape s = readShortcutShape(a);
  parallelFor(pool, s.N * s.H, [&](int32_t row, char*) {
    const int32_t n = row / s.H, h = row % s.H;
    Map* to = dx + static_cast<int64_t>(row) * s.W * s.C;
    __builtin_memset(to, 0, sizeof(Map) * s.W * s.C);
    if (h % s.stride != 0) return;
    const Map* from = dy + (static_cast<int64_t>(n) * s.OH + h / s.stride) * s.OW * s.K + s.before;
    for (int32_t ow = 0; ow < s.OW; ++ow) {
      __builtin_memcpy(to + static_cast<int64_t>(ow) * s.stride * s.C,
                       from + static_cast<int64_t>(ow) * s.K, sizeof(Map) * s.C);
    }
  });
}

}  // namespace plusx::PLUSX_ISA
