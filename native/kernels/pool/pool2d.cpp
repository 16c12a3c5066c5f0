#include "pool2d.h"

namespace plusx::PLUSX_ISA {

namespace {

struct PoolShape {
  int32_t N, H, W, C, OH, OW, R, S, stride, padding;
};

PoolShape readPoolShape(Arguments& a) {
  PoolShape p;
  p.N = a.integer();
  p.H = a.integer();
  p.W = a.integer();
  p.C = a.integer();
  p.OH = a.integer();
  p.OW = a.integer();
  p.R = a.integer();
  p.S = a.integer();
  p.stride = a.integer();
  p.padding = a.integer();
  return p;
}

// The part of a window that lies inside the image, and the pixels of the image and its padding.
struct Window {
  int32_t top, bottom, left, right, padded;
};

Window windowAt(const PoolShape& p, int32_t oh, int32_t ow) {
  const int32_t top = oh * p.stride - p.padding, left = ow * p.stride - p.padding;
  const int32_t bottom = top + p.R, right = left + p.S;
  const int32_t height = (bottom < p.H + p.padding ? bottom : p.H + p.padding) - top;
  const int32_t width = (right < p.W + p.padding ? right : p.W + p.padding) - left;
  return {top > 0 ? top : 0, bottom < p.H ? bottom : p.H, left > 0 ? left : 0,
          right < p.W ? right : p.W, height * width};
}

// What an average divides by.
float countOf(const Window& window, bool countIncludePad) {
  const int32_t inside = (window.bottom - window.top) * (window.right - window.left);
  return static_cast<float>(countIncludePad ? window.padded : inside);
}

int64_t at(const PoolShape& p, int32_t n, int32_t h, int32_t w) {
  return ((static_cast<int64_t>(n) * p.H + h) * p.W + w) * p.C;
}

// body(n, window, first channel's index in y) for the output pixels of some rows.
template <typename Body>
void windowsOfRows(const PoolShape& p, int32_t n, int32_t firstRow, int32_t endRow,
                   const Body& body) {
  for (int32_t oh = firstRow; oh < endRow; ++oh) {
    for (int32_t ow = 0; ow < p.OW; ++ow) {
      const int64_t out = ((static_cast<int64_t>(n) * p.OH + oh) * p.OW + ow) * p.C;
      body(n, windowAt(p, oh, ow), out);
    }
  }
}

// A few rows a task: outputs do not meet.
template <typename Body>
void eachOutput(Pool* pool, const PoolShape& p, const Body& body) {
  constexpr int32_t kRows = 4;
  const int32_t bands = (p.OH + kRows - 1) / kRows;
  parallelFor(pool, p.N * bands, [&](int32_t task, char*) {
    const int32_t first = task % bands * kRows;
    windowsOfRows(p, task / bands, first, first + kRows < p.OH ? first + kRows : p.OH, body);
  });
}

// An image a task: gradients of overlapping windows meet within one image only.
template <typename Body>
void eachGradient(Pool* pool, const PoolShape& p, const Body& body) {
  parallelFor(pool, p.N, [&](int32_t n, char*) { windowsOfRows(p, n, 0, p.OH, body); });
}

}  // namespace

void maxPool2d(Arguments a, Pool* pool) {
  const float* x = a.floats();
  float* y = a.floats();
  const PoolShape p = readPoolShape(a);
  eachOutput(pool, p, [&](int32_t n, const Window& window, int64_t out) {
    for (int32_t c = 0; c < p.C; c += kWidth) {
      const int32_t lanes = p.C - c < kWidth ? p.C - c : kWidth;
      Vector best = Vector{} - __builtin_inff();
      for (int32_t h = window.top; h < window.bottom; ++h) {
        for (int32_t w = window.left; w < window.right; ++w) {
          const Vector value = loadLanes(x + at(p, n, h, w) + c, lanes);
          // A NaN wins, as in PyTorch: a diverging run must be seen.
          best = ((value > best) | (value != value)) ? value : best;
        }
      }
      storeLanes(y + out + c, best, lanes);
    }
  });
}

void maxPool2dBackward(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  const float* x = a.floats();
  float* dx = a.floats();
  const PoolShape p = readPoolShape(a);
  clearImages(pool, p.N, static_cast<int64_t>(p.H) * p.W * p.C, dx);
  eachGradient(pool, p, [&](int32_t n, const Window& window, int64_t out) {
    for (int32_t c = 0; c < p.C; c += kWidth) {
      const int32_t lanes = p.C - c < kWidth ? p.C - c : kWidth;
      Vector best = loadLanes(x + at(p, n, window.top, window.left) + c, lanes);
      IntVector largest = {};  // the position in the window, by channel
      int32_t position = 0;
      for (int32_t h = window.top; h < window.bottom; ++h) {
        for (int32_t w = window.left; w < window.right; ++w, ++position) {
          const Vector value = loadLanes(x + at(p, n, h, w) + c, lanes);
          const IntVector larger = (value > best) | (value != value);
          best = larger ? value : best;
          largest = larger ? IntVector{} + position : largest;
        }
      }
      const Vector gradient = loadLanes(dy + out + c, lanes);
      position = 0;
      for (int32_t h = window.top; h < window.bottom; ++h) {
        for (int32_t w = window.left; w < window.right; ++w, ++position) {
          float* to = dx + at(p, n, h, w) + c;
          const Vector here = largest == position ? gradient : Vector{};
          storeLanes(to, loadLanes(to, lanes) + here, lanes);
        }
      }
    }
  });
}

void avgPool2d(Arguments a, Pool* pool) {
  const float* x = a.floats();
  float* y = a.floats();
  const PoolShape p = readPoolShape(a);
  const bool countIncludePad = a.integer() != 0;
  eachOutput(pool, p, [&](int32_t n, const Window& window, int64_t out) {
    const float count = countOf(window, countIncludePad);
    for (int32_t c = 0; c < p.C; ++c) y[out + c] = 0.0f;
    for (int32_t h = window.top; h < window.bottom; ++h) {
      for (int32_t w = window.left; w < window.right; ++w) {
        const float* from = x + at(p, n, h, w);
        for (int32_t c = 0; c < p.C; ++c) y[out + c] += from[c];
      }
    }
    for (int32_t c = 0; c < p.C; ++c) y[out + c] /= count;
  });
}

void avgPool2dBackward(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  float* dx = a.floats();
  const PoolShape p = readPoolShape(a);
  const bool countIncludePad = a.integer() != 0;
  clearImages(pool, p.N, static_cast<int64_t>(p.H) * p.W * p.C, dx);
  eachGradient(pool, p, [&](int32_t n, const Window& window, int64_t out) {
    const float count = countOf(window, countIncludePad);
    for (int32_t h = window.top; h < window.bottom; ++h) {
      for (int32_t w = window.left; w < window.right; ++w) {
        float* to = dx + at(p, n, h, w);
        for (int32_t c = 0; c < p.C; ++c) to[c] += dy[out + c] / count;
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
