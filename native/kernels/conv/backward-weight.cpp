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

// Where a block's pixels have their channels, from one on.
struct RowPointers {
  const float* const* rows;
  int64_t first;

  const float* at(int32_t pixel) const { return rows[pixel] + first; }
  RowPointers from(int64_t channel) const { return {rows, first + channel}; }
};

// The same where they were packed: (pixel, length), of bfloat16 (pixel/2, length, 2).
template <typename Factor>
struct PackedRows {
  const Factor* rows;
  int64_t length;

  const Factor* at(int32_t pixel) const { return rows + pixel * length; }
  PackedRows from(int64_t channel) const { return {rows + channel * kSteps<Factor>, length}; }
};

// sums(c, k) += Σ_p x(p, c) dy(p, k) for Channels consecutive c and one panel of k.
template <int Channels, typename Rows, typename Factor>
void accumulate(const Rows& rows, const Factor* dy, int32_t pixels, float* sums) {
  constexpr int kStep = kSteps<Factor>;
  Vector acc[Channels][2];
#pragma GCC unroll 8
  for (int i = 0; i < Channels; ++i) {
    acc[i][0] = load(sums + i * kPanel);
    acc[i][1] = load(sums + i * kPanel + kWidth);
  }
  for (int32_t p = 0; p < pixels; p += kStep) {
    const Factor* x = rows.at(p);
    const Factor* d = dy + p * kPanel;
    x = opaque(x);
    d = opaque(d);
    const auto d0 = lanesOf(d), d1 = lanesOf(d + kWidth * kStep);
#pragma GCC unroll 8
    for (int i = 0; i < Channels; ++i) {
      const auto value = broadcastOf(x + i * kStep);
      multiplyAdd(acc[i][0], value, d0);
      multiplyAdd(acc[i][1], value, d1);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Channels; ++i) {
    store(sums + i * kPanel, acc[i][0]);
    store(sums + i * kPanel + kWidth, acc[i][1]);
  }
}

// The same for so many channels.
template <typename Rows, typename Factor>
void accumulateAll(int64_t channels, const Rows& rows, const Factor* dy, int32_t pixels,
                   float* sums) {
  int64_t c = 0;
  for (; c + kTileChannels <= channels; c += kTileChannels) {
    accumulate<kTileChannels>(rows.from(c), dy, pixels, sums + c * kPanel);
  }
  for (; c + 4 <= channels; c += 4) accumulate<4>(rows.from(c), dy, pixels, sums + c * kPanel);
  const int64_t rest = channels - c;
  if (rest == 3) accumulate<3>(rows.from(c), dy, pixels, sums + c * kPanel);
  if (rest == 2) accumulate<2>(rows.from(c), dy, pixels, sums + c * kPanel);
  if (rest == 1) accumulate<1>(rows.from(c), dy, pixels, sums + c * kPanel);
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
template <typename Map>
void findRows(const ConvShape& s, const Map* x, Pixel pixel, int32_t pixels, int32_t r, int32_t q,
              int32_t together, const Map* zeros, Map* copies, const Map** rows) {
  const int32_t length = together * s.C;
  for (int32_t p = 0; p < pixels; ++p, copies += length) {
    const int32_t h = pixel.oh * s.stride - s.padding + r;
    const int32_t w = pixel.ow * s.stride - s.padding + q;
    const Map* row = x + ((static_cast<int64_t>(pixel.n) * s.H + h) * s.W + w) * s.C;
    const int32_t first = w < 0 ? -w : 0, end = s.W - w < together ? s.W - w : together;
    if (h < 0 || h >= s.H || first >= end) {
      rows[p] = zeros;
    } else if (first == 0 && end == together) {
      rows[p] = row;
    } else {
      for (int32_t i = 0; i < length; ++i) {
        copies[i] = i >= first * s.C && i < end * s.C ? row[i] : Map{0.0f};
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

// kWidth channels of a row from `channel` on, zero beyond the last of `channels`.
template <typename Map>
PLUSX_INLINE Vector channelsOf(const Map* row, int32_t channel, int32_t channels) {
  const int32_t left = channels - channel;
  if (left >= kWidth) return load(row + channel);
  return left > 0 ? loadLanes(row + channel, left) : Vector{};
}

// to(pixel, length) = rowOf(pixel)(channel), zero beyond the last of `channels`; `length` is a whole
// number of vectors.
template <typename RowOf>
PLUSX_INLINE void packRows(const RowOf& rowOf, int32_t pixels, int32_t channels, int32_t length,
                           float* to) {
  for (int32_t p = 0; p < pixels; ++p, to += length) {
    const auto* row = rowOf(p);
    for (int32_t i = 0; i < length; i += kWidth) store(to + i, channelsOf(row, i, channels));
  }
}

#if defined(__AVX512BF16__)
// (pixel/2, length, 2)
template <typename RowOf>
PLUSX_INLINE void packRows(const RowOf& rowOf, int32_t pixels, int32_t channels, int32_t length,
                           BFloat* to) {
  for (int32_t p = 0; p < pixels; p += 2) {
    const auto* first = rowOf(p);
    const auto* second = p + 1 < pixels ? rowOf(p + 1) : first;
    const int32_t ofSecond = p + 1 < pixels ? channels : 0;
    for (int32_t i = 0; i < length; i += kWidth, to += 2 * kWidth) {
      storePairs(to, channelsOf(first, i, channels), channelsOf(second, i, ofSecond));
    }
  }
}
#endif

// Channels of bfloat16 maps that are packed at a time: with a panel of dy they stay in the
// second-level cache.
constexpr int32_t kPackedChannels = 256;

// What a task needs beside its sums, in its thread's scratch.
template <typename Map>
struct WeightScratch {
  Factor<Map> dyPanel[kBlockPixels * kPanel];
  Factor<Map> xPacked[kIsFloat<Map> ? 1 : kBlockPixels * kPackedChannels];
  const Map* rows[kBlockPixels];
};

// sums(c, k) += Σ_p rows[p](c) dy(p, k)
template <typename Map>
void accumulateRows(WeightScratch<Map>& scratch, int32_t channels, int32_t pixels, float* sums) {
  if constexpr (kIsFloat<Map>) {
    accumulateAll(channels, RowPointers{scratch.rows, 0}, scratch.dyPanel, pixels, sums);
  } else {
    for (int32_t c = 0; c < channels; c += kPackedChannels) {
      const int32_t count = channels - c < kPackedChannels ? channels - c : kPackedChannels;
      const int32_t length = (count + kWidth - 1) / kWidth * kWidth;
      packRows(PLUSX_LAMBDA(int32_t p) { return scratch.rows[p] + c; }, pixels, count, length,
               scratch.xPacked);
      accumulateAll(count, PackedRows<Factor<Map>>{scratch.xPacked, length}, scratch.dyPanel,
                    pixels, sums + static_cast<int64_t>(c) * kPanel);
    }
  }
}

}  // namespace

template <typename Map>
void gatherWeight(const ConvShape& s, const Map* x, const Map* dy, float* dweight,
                  float* workspace, int32_t partials, Pool* pool) {
  const int32_t taps = s.R * s.S;
  const int32_t panels = (s.K + kPanel - 1) / kPanel;
  const int64_t pixels = static_cast<int64_t>(s.N) * s.OH * s.OW;
  const int64_t perPartial = (pixels + partials - 1) / partials;
  const int64_t panelFloats = static_cast<int64_t>(taps) * s.C * kPanel;
  const int32_t together = tapsTogether(s), length = together * s.C;
  // Behind the rest a row of zeros, and copies at the edges.
  const size_t copied = static_cast<size_t>(length) * (together > 1 ? kBlockPixels + 1 : 1);
  if (sizeof(WeightScratch<Map>) + sizeof(Map) * copied > kThreadScratchBytes) __builtin_trap();

  parallelFor(pool, partials * panels, [&](int32_t task, char* memory) {
    WeightScratch<Map>& scratch = *reinterpret_cast<WeightScratch<Map>*>(memory);
    Map* zeros = reinterpret_cast<Map*>(memory + sizeof scratch);
    Map* copies = zeros + length;
    __builtin_memset(zeros, 0, sizeof(Map) * length);
    const int32_t panel = task % panels;
    const int32_t k0 = panel * kPanel, outputs = s.K - k0 < kPanel ? s.K - k0 : kPanel;
    float* sums = workspace + task * panelFloats;
    __builtin_memset(sums, 0, sizeof(float) * panelFloats);

    const int64_t first = task / panels * perPartial;
    const int64_t end = first + perPartial < pixels ? first + perPartial : pixels;
    for (int64_t p = first; p < end; p += kBlockPixels) {
      const int32_t count = static_cast<int32_t>(end - p < kBlockPixels ? end - p : kBlockPixels);
      const Pixel pixel = pixelAt(s, p);
      packRows(PLUSX_LAMBDA(int32_t i) { return dy + (p + i) * s.K + k0; }, count, outputs, kPanel,
               scratch.dyPanel);
      for (int32_t tap = 0; tap < taps; tap += together) {
        findRows(s, x, pixel, count, tap / s.S, tap % s.S, together, zeros, copies, scratch.rows);
        accumulateRows(scratch, length, count, sums + static_cast<int64_t>(tap) * s.C * kPanel);
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
