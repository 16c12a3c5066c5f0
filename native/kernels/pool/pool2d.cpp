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

template <typename Map>
void maxPool2d(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  Map* y = a.tensor<Map>();
  const PoolShape p = readPoolShape(a);
  const int64_t row = static_cast<int64_t>(p.W) * p.C;
  eachOutput(pool, p, [&](int32_t n, const Window& window, int64_t out) {
    const Map* first = x + at(p, n, window.top, window.left);
    const int32_t rows = window.bottom - window.top, columns = window.right - window.left;
    const auto largest = PLUSX_LAMBDA(int32_t c, int32_t lanes) {
      Vector best = Vector{} - __builtin_inff();
      const Map* top = first + c;
      for (int32_t i = 0; i < rows; ++i, top += row) {
        const Map* pixel = top;
        for (int32_t j = 0; j < columns; ++j, pixel += p.C) {
          const Vector value = loadLanes(pixel, lanes);
          // A NaN wins, as in PyTorch: a diverging run must be seen.
          best = ((value > best) | (value != value)) ? value : best;
        }
      }
      storeLanes(y + out + c, best, lanes);
    };
    int32_t c = 0;
    for (; c + kWidth <= p.C; c += kWidth) largest(c, kWidth);
    if (c < p.C) largest(c, p.C - c);
  });
}

template <typename Map>
void maxPool2dBackward(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  const Map* x = a.tensor<Map>();
  Map* dx = a.tensor<Map>();
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
          Map* to = dx + at(p, n, h, w) + c;
          const Vector here = largest == position ? gradient : Vector{};
          storeLanes(to, loadLanes(to, lanes) + here, lanes);
        }
      }
    }
  });
}

namespace {

template <typename Map, typename Average>
void average(const PoolShape& p, bool countIncludePad, const Map* x, Average* y, Pool* pool) {
  eachOutput(pool, p, [&](int32_t n, const Window& window, int64_t out) {
    const float count = countOf(window, countIncludePad);
    for (int32_t c = 0; c < p.C; c += kWidth) {
      const int32_t lanes = p.C - c < kWidth ? p.C - c : kWidth;
      Vector sum = {};
      for (int32_t h = window.top; h < window.bottom; ++h) {
        for (int32_t w = window.left; w < window.right; ++w) {
          sum += loadLanes(x + at(p, n, h, w) + c, lanes);
        }
      }
      storeLanes(y + out + c, sum / count, lanes);
    }
  });
}

template <typename Map, typename Average>
void averageBackward(const PoolShape& p, bool countIncludePad, const Average* dy, Map* dx,
                     Pool* pool) {
  clearImages(pool, p.N, static_cast<int64_t>(p.H) * p.W * p.C, dx);
  eachGradient(pool, p, [&](int32_t n, const Window& window, int64_t out) {
    const float count = countOf(window, countIncludePad);
    for (int32_t h = window.top; h < window.bottom; ++h) {
      for (int32_t w = window.left; w < window.right; ++w) {
        Map* to = dx + at(p, n, h, w);
        for (int32_t c = 0; c < p.C; c += kWidth) {
          const int32_t lanes = p.C - c < kWidth ? p.C - c : kWidth;
          const Vector share = loadLanes(dy + out + c, lanes) / count;
          storeLanes(to + c, loadLanes(to + c, lanes) + share, lanes);
        }
      }
    }
  });
}

}  // namespace

template <typename Map>
void avgPool2d(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  void* y = a.slot();
  const PoolShape p = readPoolShape(a);
  const bool countIncludePad = a.integer() != 0, averagesAreFloats = a.integer() != 0;
  if (averagesAreFloats) {
    average(p, countIncludePad, x, static_cast<float*>(y), pool);
  } else {
    average(p, countIncludePad, x, static_cast<BFloat*>(y), pool);
  }
}

template <typename Map>
void avgPool2dBackward(Arguments a, Pool* pool) {
  const void* dy = a.slot();
  Map* dx = a.tensor<Map>();
  const PoolShape p = readPoolShape(a);
  const bool countIncludePad = a.integer() != 0, averagesAreFloats = a.integer() != 0;
  if (averagesAreFloats) {
    averageBackward(p, countIncludePad, static_cast<const float*>(dy), dx, pool);
  } else {
    averageBackward(p, countIncludePad, static_cast<const BFloat*>(dy), dx, pool);
  }
}

}  // namespace plusx::PLUSX_ISA
