// dweight(k, r, s, c) = Σ_p dy(p, k) x(p@r,s, c).
//
// Pixels are cut into `partials` ranges by shape; each task sums one range for one panel of k into
// its own part of the workspace, laid out (partial, panel, tap, c, kPanel); a last pass adds the
// partial sums in their order.
#include "gather.h"

namespace plusx::PLUSX_ISA {

namespace {

// Pixels whose dy panel and x rows stay in the first two caches.
constexpr int32_t kBlockPixels = 128;

// sums(c, k) += Σ_p rows[p](c) dy(p, k) for Channels consecutive c and one panel of k.
template <int Channels>
void accumulate(const float* const* rows, int64_t c, const float* dy, int32_t pixels,
                float* sums) {
  Vector acc[Channels][2];
#pragma GCC unroll 8
  for (int i = 0; i < Channels; ++i) {
    acc[i][0] = load(sums + i * kPanel);
    acc[i][1] = load(sums + i * kPanel + kWidth);
  }
  for (int32_t p = 0; p < pixels; ++p) {
    const float* x = rows[p] + c;
    const float* d = dy + p * kPanel;
    keepPointer(x);
    keepPointer(d);
    const Vector d0 = load(d), d1 = load(d + kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < Channels; ++i) {
      acc[i][0] += x[i] * d0;
      acc[i][1] += x[i] * d1;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Channels; ++i) {
    store(sums + i * kPanel, acc[i][0]);
    store(sums + i * kPanel + kWidth, acc[i][1]);
  }
}

void accumulateRest(int32_t channels, const float* const* rows, int64_t c, const float* dy,
                    int32_t pixels, float* sums) {
  for (; channels >= 4; channels -= 4, c += 4, sums += 4 * kPanel) {
    accumulate<4>(rows, c, dy, pixels, sums);
  }
  if (channels == 3) accumulate<3>(rows, c, dy, pixels, sums);
  if (channels == 2) accumulate<2>(rows, c, dy, pixels, sums);
  if (channels == 1) accumulate<1>(rows, c, dy, pixels, sums);
}

struct Pixel {
  int32_t n, oh, ow;
};

Pixel pixelAt(const ConvShape& s, int64_t p) {
  const int64_t image = static_cast<int64_t>(s.OH) * s.OW;
  const int32_t inImage = static_cast<int32_t>(p % image);
  return {static_cast<int32_t>(p / image), inImage / s.OW, inImage % s.OW};
}

// Of images with few channels the taps of a filter's row are taken together: in NHWC their channels
// lie side by side.
int32_t tapsTogether(const ConvShape& s) { return s.C < kChunk && s.S <= kChunk ? s.S : 1; }

// For each pixel where its `together` taps from (r, q) on find their channels: in x, in `zeros`
// outside the image, in a copy of their own where they reach over its edge.
void findRows(const ConvShape& s, const float* x, Pixel pixel, int32_t pixels, int32_t r, int32_t q,
              int32_t together, const float* zeros, float* copies, const float** rows) {
  const int32_t length = together * s.C;
  for (int32_t p = 0; p < pixels; ++p, copies += length) {
    const int32_t h = pixel.oh * s.stride - s.padding + r;
    const int32_t w = pixel.ow * s.stride - s.padding + q;
    const float* row = x + ((static_cast<int64_t>(pixel.n) * s.H + h) * s.W + w) * s.C;
    const int32_t first = w < 0 ? -w : 0, end = s.W - w < together ? s.W - w : together;
    if (h < 0 || h >= s.H || first >= end) {
      rows[p] = zeros;
    } else if (first == 0 && end == together) {
      rows[p] = row;
    } else {
      for (int32_t i = 0; i < length; ++i) {
        copies[i] = i >= first * s.C && i < end * s.C ? row[i] : 0.0f;
      }
      rows[p] = copies;
    }
    if (++pixel.ow < s.OW) continue;
    pixel.ow = 0;
    if (++pixel.oh < s.OH) continue;
    pixel.oh = 0;
    ++pixel.n;
  }
}

// dy of a block for one panel of k, zero beyond K.
void packPanel(const float* dy, int64_t firstPixel, int32_t pixels, int32_t K, int32_t k0,
               float* panel) {
  const int32_t count = K - k0 < kPanel ? K - k0 : kPanel;
  for (int32_t p = 0; p < pixels; ++p, panel += kPanel) {
    const float* from = dy + (firstPixel + p) * K + k0;
    if (count == kPanel) {
      store(panel, load(from));
      store(panel + kWidth, load(from + kWidth));
    } else {
      for (int32_t k = 0; k < kPanel; ++k) panel[k] = k < count ? from[k] : 0.0f;
    }
  }
}

}  // namespace

void gatherWeight(const ConvShape& s, const float* x, const float* dy, float* dweight,
                  float* workspace, int32_t partials, Pool* pool) {
  const int32_t taps = s.R * s.S;
  const int32_t panels = (s.K + kPanel - 1) / kPanel;
  const int64_t pixels = static_cast<int64_t>(s.N) * s.OH * s.OW;
  const int64_t perPartial = (pixels + partials - 1) / partials;
  const int64_t panelFloats = static_cast<int64_t>(taps) * s.C * kPanel;
  const int32_t together = tapsTogether(s), length = together * s.C;
  // The scratch holds one panel of dy, the row pointers, a row of zeros and copies at the edges.
  const size_t panelBytes = sizeof(float) * kBlockPixels * kPanel;
  const size_t pointerBytes = sizeof(float*) * kBlockPixels;
  const size_t copyBytes = together > 1 ? sizeof(float) * kBlockPixels * length : 0;
  const size_t zeroBytes = sizeof(float) * length;
  if (panelBytes + pointerBytes + zeroBytes + copyBytes > kThreadScratchBytes) __builtin_trap();

  parallelFor(pool, partials * panels, [&](int32_t task, char* scratch) {
    float* dyPanel = reinterpret_cast<float*>(scratch);
    const float** rows = reinterpret_cast<const float**>(scratch + panelBytes);
    float* zeros = reinterpret_cast<float*>(scratch + panelBytes + pointerBytes);
    float* copies = zeros + length;
    __builtin_memset(zeros, 0, zeroBytes);
    const int32_t panel = task % panels;
    float* sums = workspace + task * panelFloats;
    __builtin_memset(sums, 0, sizeof(float) * panelFloats);

    const int64_t first = task / panels * perPartial;
    const int64_t end = first + perPartial < pixels ? first + perPartial : pixels;
    for (int64_t p = first; p < end; p += kBlockPixels) {
      const int32_t count = static_cast<int32_t>(end - p < kBlockPixels ? end - p : kBlockPixels);
      const Pixel pixel = pixelAt(s, p);
      packPanel(dy, p, count, s.K, panel * kPanel, dyPanel);
      for (int32_t tap = 0; tap < taps; tap += together) {
        findRows(s, x, pixel, count, tap / s.S, tap % s.S, together, zeros, copies, rows);
        float* tapSums = sums + static_cast<int64_t>(tap) * s.C * kPanel;
        int32_t c = 0;
        for (; c + kTileChannels <= length; c += kTileChannels) {
          accumulate<kTileChannels>(rows, c, dyPanel, count, tapSums + c * kPanel);
        }
        accumulateRest(length - c, rows, c, dyPanel, count, tapSums + c * kPanel);
      }
    }
  });

  // A task is a few rows of one panel: enough tasks for any number of threads.
  const int32_t filter = taps * s.C;
  constexpr int32_t kRows = 256;
  const int32_t rowBlocks = (filter + kRows - 1) / kRows;
  parallelFor(pool, panels * rowBlocks, [&](int32_t task, char*) {
    const int32_t panel = task / rowBlocks;
    const int32_t firstRow = task % rowBlocks * kRows;
    const int32_t endRow = firstRow + kRows < filter ? firstRow + kRows : filter;
    const int32_t count = s.K - panel * kPanel < kPanel ? s.K - panel * kPanel : kPanel;
    for (int32_t row = firstRow; row < endRow; ++row) {
      Vector sum0 = {}, sum1 = {};
      for (int32_t partial = 0; partial < partials; ++partial) {
        const float* from = workspace +
                            (static_cast<int64_t>(partial) * panels + panel) * panelFloats +
                            static_cast<int64_t>(row) * kPanel;
        sum0 += load(from);
        sum1 += load(from + kWidth);
      }
      float sums[kPanel];
      store(sums, sum0);
      store(sums + kWidth, sum1);
      float* to = dweight + static_cast<int64_t>(panel) * kPanel * filter + row;
      for (int32_t k = 0; k < count; ++k) to[static_cast<int64_t>(k) * filter] = sums[k];
    }
  });
}

}  // namespace plusx::PLUSX_ISA
