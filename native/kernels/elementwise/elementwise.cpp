#include "elementwise.h"

#include "kernels/conv/image.h"
#include "simd/math.h"

namespace plusx::PLUSX_ISA {

namespace {

// Elements of one task: 128 KiB, so that three tensors' share fits the second-level cache.
constexpr int64_t kTaskElements = 32768;

// body(first, end) over ranges of a tensor: a closure, of which each task has its copy, as in norm.cpp.
template <typename Body>
void eachRange(Pool* pool, int64_t count, const Body& body) {
  const int32_t tasks = static_cast<int32_t>((count + kTaskElements - 1) / kTaskElements);
  parallelFor(pool, tasks, [=](int32_t task, char*) {
    const Body own = body;
    const int64_t first = task * kTaskElements;
    own(first, first + kTaskElements < count ? first + kTaskElements : count);
  });
}

int32_t lanesLeft(int64_t from, int64_t end) {
  return end - from < kWidth ? static_cast<int32_t>(end - from) : kWidth;
}

// (N, A, B) → (N, B, A)
void swapInner(Arguments a, Pool* pool) {
  const float* x = a.floats();
  float* y = a.floats();
  const int32_t N = a.integer(), A = a.integer(), B = a.integer();
  parallelFor(pool, N, [&](int32_t n, char*) {
    const int64_t base = static_cast<int64_t>(n) * A * B;
    for (int32_t i = 0; i < A; ++i) {
      for (int32_t j = 0; j < B; ++j) {
        y[base + static_cast<int64_t>(j) * A + i] = x[base + static_cast<int64_t>(i) * B + j];
      }
    }
  });
}

}  // namespace

template <typename Map>
void normalizeImage(Arguments a, Pool* pool) {
  const uint8_t* x = static_cast<const uint8_t*>(a.slot());
  Map* y = a.tensor<Map>();
  const int32_t pixels = a.integer();
  Normalization normalization;
  readNormalization(a, normalization);
  const int32_t C = normalization.channels;
  constexpr int32_t kTaskPixels = 8192;
  parallelFor(pool, (pixels + kTaskPixels - 1) / kTaskPixels, [&](int32_t task, char*) {
    const int64_t first = static_cast<int64_t>(task) * kTaskPixels;
    const int64_t end = first + kTaskPixels < pixels ? first + kTaskPixels : pixels;
    normalization.convert(x + first * C, (end - first) * C, y + first * C);
  });
}

template <typename Map>
void addBias(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  const float* bias = a.floats();
  Map* y = a.tensor<Map>();
  const int32_t rows = a.integer(), C = a.integer();
  const int32_t taskRows = 1 + static_cast<int32_t>(kTaskElements / C);
  parallelFor(pool, (rows + taskRows - 1) / taskRows, [&](int32_t task, char*) {
    const int64_t first = static_cast<int64_t>(task) * taskRows;
    const int64_t end = first + taskRows < rows ? first + taskRows : rows;
    for (int64_t row = first; row < end; ++row) {
      for (int32_t c = 0; c < C; c += kWidth) {
        const int32_t lanes = lanesLeft(c, C);
        const Vector sum = loadLanes(x + row * C + c, lanes) + loadLanes(bias + c, lanes);
        storeLanes(y + row * C + c, sum, lanes);
      }
    }
  });
}

template <typename Map>
void relu(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  Map* y = a.tensor<Map>();
  eachRange(pool, a.integer(), [=](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i += kWidth) {
      const int32_t lanes = lanesLeft(i, end);
      const Vector value = loadLanes(x + i, lanes);
      storeLanes(y + i, value <= Vector{} ? Vector{} : value, lanes);
    }
  });
}

template <typename Map>
void reluBackward(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  const Map* y = a.tensor<Map>();
  const Map* other = a.tensor<Map>();
  Map* dx = a.tensor<Map>();
  eachRange(pool, a.integer(), [=](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i += kWidth) {
      const int32_t lanes = lanesLeft(i, end);
      Vector gradient = loadLanes(dy + i, lanes);
      if (other) gradient += loadLanes(other + i, lanes);
      storeLanes(dx + i, loadLanes(y + i, lanes) > Vector{} ? unmasked(gradient) : Vector{}, lanes);
    }
  });
}

template <typename Map>
void add(Arguments arguments, Pool* pool) {
  const Map* a = arguments.tensor<Map>();
  const Map* b = arguments.tensor<Map>();
  Map* y = arguments.tensor<Map>();
  eachRange(pool, arguments.integer(), [=](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i += kWidth) {
      const int32_t lanes = lanesLeft(i, end);
      storeLanes(y + i, loadLanes(a + i, lanes) + loadLanes(b + i, lanes), lanes);
    }
  });
}

void sigmoid(Arguments a, Pool* pool) {
  const float* x = a.floats();
  float* y = a.floats();
  eachRange(pool, a.integer(), [=](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i) {
      y[i] = static_cast<float>(1.0 / (1.0 + exponential(-static_cast<double>(x[i]))));
    }
  });
}

void sigmoidBackward(Arguments a, Pool* pool) {
  const float* dy = a.floats();
  const float* y = a.floats();
  float* dx = a.floats();
  eachRange(pool, a.integer(), [=](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
  });
}

template <typename Map>
void scaleChannels(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  const float* s = a.floats();
  Map* y = a.tensor<Map>();
  const int32_t N = a.integer(), pixels = a.integer(), C = a.integer();
  const int32_t taskPixels = 1 + static_cast<int32_t>(kTaskElements / C);
  const int32_t tasks = (pixels + taskPixels - 1) / taskPixels;
  parallelFor(pool, N * tasks, [&](int32_t task, char*) {
    const int64_t n = task / tasks, first = static_cast<int64_t>(task % tasks) * taskPixels;
    const int64_t end = first + taskPixels < pixels ? first + taskPixels : pixels;
    for (int64_t p = first; p < end; ++p) {
      const int64_t at = (n * pixels + p) * C;
      for (int32_t c = 0; c < C; c += kWidth) {
        const int32_t lanes = lanesLeft(c, C);
        const Vector scaled = loadLanes(x + at + c, lanes) * loadLanes(s + n * C + c, lanes);
        storeLanes(y + at + c, scaled, lanes);
      }
    }
  });
}

template <typename Map>
void scaleChannelsBackward(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  const Map* x = a.tensor<Map>();
  float* ds = a.floats();
  const int32_t N = a.integer(), pixels = a.integer(), C = a.integer();
  constexpr int32_t kTaskChannels = 64;
  const int32_t tasks = (C + kTaskChannels - 1) / kTaskChannels;
  parallelFor(pool, N * tasks, [&](int32_t task, char*) {
    const int64_t n = task / tasks;
    const int32_t first = task % tasks * kTaskChannels;
    const int32_t count = C - first < kTaskChannels ? C - first : kTaskChannels;
    float sums[kTaskChannels] = {};
    for (int32_t p = 0; p < pixels; ++p) {
      const int64_t at = (n * pixels + p) * C + first;
      for (int32_t c = 0; c < count; ++c) sums[c] += dy[at + c] * x[at + c];
    }
    for (int32_t c = 0; c < count; ++c) ds[n * C + first + c] = sums[c];
  });
}

void nhwcToNchw(Arguments a, Pool* pool) { swapInner(a, pool); }

void nchwToNhwc(Arguments a, Pool* pool) { swapInner(a, pool); }

void fill(Arguments a, Pool* pool) {
  float* y = a.floats();
  const int64_t count = a.integer();
  const float value = a.number();
  eachRange(pool, count, [=](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i) y[i] = value;
  });
}

}  // namespace plusx::PLUSX_ISA
