#include "adaptive.h"

#include "pool2d.h"

namespace plusx::PLUSX_ISA {

namespace {

struct AdaptiveShape {
  int32_t N, H, W, C, OH, OW;
};

AdaptiveShape readAdaptiveShape(Arguments& a) {
  AdaptiveShape s;
  s.N = a.integer();
  s.H = a.integer();
  s.W = a.integer();
  s.C = a.integer();
  s.OH = a.integer();
  s.OW = a.integer();
  return s;
}

struct Range {
  int64_t first, end;
};

Range rangeAt(int64_t index, int64_t size, int64_t count) {
  return {index * size / count, ((index + 1) * size + count - 1) / count};
}

// body(first channel's index in x, in y, pixels of the window) for each pixel of each window, an
// image a task: windows overlap within one image only.
template <typename Body>
void eachAdaptivePixel(Pool* pool, const AdaptiveShape& s, const Body& body) {
  parallelFor(pool, s.N, [&](int32_t n, char*) {
    for (int32_t oh = 0; oh < s.OH; ++oh) {
      const Range rows = rangeAt(oh, s.H, s.OH);
      for (int32_t ow = 0; ow < s.OW; ++ow) {
        const Range columns = rangeAt(ow, s.W, s.OW);
        const int64_t out = ((static_cast<int64_t>(n) * s.OH + oh) * s.OW + ow) * s.C;
        const float count =
            static_cast<float>((rows.end - rows.first) * (columns.end - columns.first));
        for (int64_t h = rows.first; h < rows.end; ++h) {
          for (int64_t w = columns.first; w < columns.end; ++w) {
            body((static_cast<int64_t>(n) * s.H + h) * s.W * s.C + w * s.C, out, count);
          }
        }
      }
    }
  });
}

}  // namespace

template <typename Map>
void adaptiveAvgPool2d(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  float* y = a.floats();
  const AdaptiveShape s = readAdaptiveShape(a);
  clearImages(pool, s.N, static_cast<int64_t>(s.OH) * s.OW * s.C, y);
  eachAdaptivePixel(pool, s, [&](int64_t in, int64_t out, float count) {
    for (int32_t c = 0; c < s.C; ++c) y[out + c] += static_cast<float>(x[in + c]) / count;
  });
}

template <typename Map>
void adaptiveAvgPool2dBackward(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  Map* dx = a.tensor<Map>();
  const AdaptiveShape s = readAdaptiveShape(a);
  clearImages(pool, s.N, static_cast<int64_t>(s.H) * s.W * s.C, dx);
  eachAdaptivePixel(pool, s, [&](int64_t in, int64_t out, float count) {
    for (int32_t c = 0; c < s.C; ++c) dx[in + c] = dx[in + c] + dy[out + c] / count;
  });
}

}  // namespace plusx::PLUSX_ISA
