// dweight(k, r, s, c) = Σ_p dy(p, k) x(p@r,s, c).
//
// Pixels are cut into `partials` ranges by shape; each task sums one range for a few panels of k into
// its own part of the workspace, laid out (partial, panel, tap, c, kPanel); a last pass adds the
// partial sums in their order.
#include "gather.h"
#include "multiply.h"

namespace plusx::PLUSX_ISA {

namespace {

// Pixels whose dy panel and x rows stay in the first two caches.
constexpr int32_t kBlockPixels = 128;

// Where a block's pixels have their channels, from one on.
struct RowPointers {
  const float* const* rows;
  int64_t first, channels;

  const float* at(int32_t pixel) const { return rows[pixel] + first; }
  // The line behind, or where there is none, this one.
  const float* lineAhead(int32_t pixel) const {
    return rows[pixel] + (first + 16 < channels ? first + 16 : first);
  }
  RowPointers from(int64_t channel) const { return {rows, first + channel, channels}; }
};

// The same where they were packed: (pixel, length), of bfloat16 (pixel/2, length, 2).
template <typename Factor>
struct PackedRows {
  const Factor* rows;
  int64_t length;

  const Factor* at(int32_t pixel) const { return rows + pixel * length; }
  const Factor* lineAhead(int32_t pixel) const { return at(pixel); }
  PackedRows from(int64_t channel) const { return {rows + channel * kSteps<Factor>, length}; }
};

// The lines of the next block's pixels, which are fetched while this block's products are computed: each of
// their columns during a call, one pixel's line beside another's products.
class LinesAhead {
 public:
  // A pixel has `lines` lines in dy and, where that is there, as many in normX. In fewer calls than columns
  // not all of them are fetched.
  template <typename Map>
  LinesAhead(const Map* dy, const Map* normX, int64_t K, int32_t lines, int32_t calls)
      : dy_(reinterpret_cast<const char*>(dy)),
        normX_(reinterpret_cast<const char*>(normX)),
        stride_(static_cast<int64_t>(sizeof(Map)) * K),
        lines_(lines),
        columns_(normX ? 2 * lines : lines),
        calls_(calls) {}

  // Before each call. Where it has nothing to fetch, it stays where it was.
  void next() {
    const auto columnsBefore = PLUSX_LAMBDA(int32_t call) { return call * columns_ / calls_; };
    const int32_t column = columnsBefore(call_);
    const bool fetches = columnsBefore(++call_) > column;
    if (fetches) line_ = column < lines_ ? dy_ + column * 64 : normX_ + (column - lines_) * 64;
    step_ = fetches ? stride_ : 0;
  }
  void fetch(int32_t pixel) const { __builtin_prefetch(line_ + pixel * step_, 0, 2); }

 private:
  const char *dy_, *normX_;
  int64_t stride_;
  int32_t lines_, columns_, calls_, call_ = 0;
  const char* line_ = dy_;
  int64_t step_ = 0;
};

// sums(c, k) += Σ_p x(p, c) dy(p, k) for Channels consecutive c and one panel of k.
template <int Channels, typename Rows, typename Factor>
__attribute__((noinline)) void accumulate(const Rows& rows, const Factor* dy, int32_t pixels,
                                          const LinesAhead& ahead, float* sums) {
  constexpr int kStep = kSteps<Factor>;
  Vector acc[Channels][2] = {};
  for (int32_t p = 0; p < pixels; p += kStep) {
    const Factor* x = rows.at(p);
    const Factor* d = dy + p * kPanel;
    __builtin_prefetch(rows.lineAhead(p));
    for (int i = 0; i < kStep; ++i) ahead.fetch(p + i);
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
  storeRows<true>(acc, 0, Channels, sums);
}

// Channels that are summed together at most.
constexpr int kTileChannels = kTilePixels < 8 ? kTilePixels : 8;

// Calls body with a count of Most or less as a constant.
template <int Most, typename Body>
PLUSX_INLINE void withConstant(int32_t count, const Body& body) {
  if (count == Most) return body(std::integral_constant<int, Most>{});
  if constexpr (Most > 1) withConstant<Most - 1>(count, body);
}

// Tiles of so many channels, all of about the same size.
int32_t tilesOf(int32_t channels) { return (channels + kTileChannels - 1) / kTileChannels; }

// The same for so many channels.
template <typename Rows, typename Factor>
void accumulateAll(int32_t channels, const Rows& rows, const Factor* dy, int32_t pixels,
                   LinesAhead& ahead, float* sums) {
  const int32_t tiles = tilesOf(channels);
  for (int32_t tile = 0, c = 0; tile < tiles; ++tile) {
    const int32_t end = static_cast<int32_t>(int64_t{channels} * (tile + 1) / tiles);
    ahead.next();
    withConstant<kTileChannels>(end - c, PLUSX_LAMBDA(auto count) {
      accumulate<count.value>(rows.from(c), dy, pixels, ahead, sums + int64_t{c} * kPanel);
    });
    c = end;
  }
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
  for (int32_t p = 0; p < pixels;) {
    const int32_t h = pixel.oh * s.stride - s.padding + r;
    const bool inside = h >= 0 && h < s.H;
    const Map* row = x + (static_cast<int64_t>(pixel.n) * s.H + h) * s.W * s.C;
    const int32_t left = s.OW - pixel.ow, end = left < pixels - p ? p + left : pixels;
    const int32_t first = p - pixel.ow;  // where column 0 is, or would be
    for (; p < end; ++p) {
      const int32_t w = (p - first) * s.stride - s.padding + q;
      if (!inside || w <= -together || w >= s.W) {
        rows[p] = zeros;
      } else if (w >= 0 && w + together <= s.W) {
        rows[p] = row + int64_t{w} * s.C;
      } else {
        for (int32_t i = 0; i < length; ++i) {
          const int32_t column = w + i / s.C;
          copies[i] = column >= 0 && column < s.W ? row[int64_t{w} * s.C + i] : Map{0.0f};
        }
        rows[p] = copies;
        copies += length;
      }
    }
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

// placeOf(pixel, channel) = rowOf(pixel)(channel) for `length` channels, a whole number of vectors; of
// bfloat16 two pixels side by side.
template <typename Factor, typename RowOf, typename PlaceOf>
PLUSX_INLINE void packRows(const RowOf& rowOf, int32_t pixels, int32_t length, const PlaceOf& placeOf) {
  for (int32_t p = 0; p < pixels; p += kSteps<Factor>) {
    const auto first = rowOf(p);
    if constexpr (kSteps<Factor> == 1) {
      for (int32_t i = 0; i < length; i += kWidth) store(placeOf(p, i), first(i));
    } else if (p + 1 < pixels) {
      const auto second = rowOf(p + 1);
      for (int32_t i = 0; i < length; i += kWidth) storePairs(placeOf(p, i), first(i), second(i));
    } else {
      for (int32_t i = 0; i < length; i += kWidth) storePairs(placeOf(p, i), first(i), Vector{});
    }
  }
}

// A row that lies there, zero beyond its last channel.
template <typename Map>
PLUSX_INLINE auto channelsFrom(const Map* row, int32_t channels) {
  return PLUSX_CLOSURE(int32_t i) { return channelsOf(row, i, channels); };
}

// Of the gradient that is made of it, at a place of dy: kWidth channels from `channel` on, of which
// `channels` are there.
template <typename Map>
PLUSX_INLINE Vector gradientAt(const GradientRows<Map>& rows, int64_t place, int32_t channel,
                               int32_t channels) {
  if (channels <= 0) return Vector{};
  Vector g = unmasked(channelsOf(rows.dy + place, 0, channels));
  const auto of = PLUSX_LAMBDA(const float* values) { return channelsOf(values + channel, 0, channels); };
  const Vector x = channelsOf(rows.normX + place, 0, channels);
  if (rows.scale) g = x * of(rows.scale) + of(rows.shift) > Vector{} ? g : Vector{};
  const Vector average = of(rows.factors + 2 * rows.K), slope = of(rows.factors + rows.K);
  return of(rows.factors) * ((g - average) - slope * (x - of(rows.mean)));
}

// Channels of bfloat16 maps that are packed at a time: with a panel of dy they stay in the
// second-level cache.
constexpr int32_t kPackedChannels = 256;

// Panels of k that a task sums at most: it reads dy in longer runs, and x once for all of them.
constexpr int32_t kTaskPanels = 128 / kPanel;
// Where x has more channels in all taps, it takes the caches, and one panel at a time is faster.
constexpr int32_t kSharedChannels = 256;
// So many tasks keep the threads busy: where there would be fewer, a task takes fewer panels.
constexpr int32_t kTasks = 16;

int32_t panelsPerTask(const ConvShape& s, int32_t panels, int32_t partials) {
  const int32_t fair = partials * panels / kTasks;
  if (s.R * s.S * s.C > kSharedChannels || fair < 2) return 1;
  const int32_t most = panels < kTaskPanels ? panels : kTaskPanels;
  return fair < most ? fair : most;
}

// What a task needs beside its sums, in its thread's scratch.
template <typename Map>
struct WeightScratch {
  Factor<Map> dyPanels[kTaskPanels][kBlockPixels * kPanel];
  Factor<Map> xPacked[kIsFloat<Map> ? 1 : kBlockPixels * kPackedChannels];
  const Map* rows[kBlockPixels];
};

// sums(c, k) += Σ_p rows[p](c) dy(p, k) for so many panels of k.
template <typename Map>
void accumulateRows(WeightScratch<Map>& scratch, int32_t panels, int32_t channels, int32_t pixels,
                    LinesAhead& ahead, float* sums, int64_t panelFloats) {
  if constexpr (kIsFloat<Map>) {
    for (int32_t panel = 0; panel < panels; ++panel, sums += panelFloats) {
      accumulateAll(channels, RowPointers{scratch.rows, 0, channels}, scratch.dyPanels[panel], pixels,
                    ahead, sums);
    }
  } else {
    for (int32_t c = 0; c < channels; c += kPackedChannels) {
      const int32_t count = channels - c < kPackedChannels ? channels - c : kPackedChannels;
      const int32_t length = (count + kWidth - 1) / kWidth * kWidth;
      packRows<Factor<Map>>(
          PLUSX_LAMBDA(int32_t p) { return channelsFrom(scratch.rows[p] + c, count); }, pixels, length,
          PLUSX_LAMBDA(int32_t p, int32_t i) {
            return scratch.xPacked + p * length + i * kSteps<Factor<Map>>;
          });
      for (int32_t panel = 0; panel < panels; ++panel) {
        accumulateAll(count, PackedRows<Factor<Map>>{scratch.xPacked, length},
                      scratch.dyPanels[panel], pixels, ahead,
                      sums + panel * panelFloats + static_cast<int64_t>(c) * kPanel);
      }
    }
  }
}

// Calls of `accumulate` that it takes for a panel.
template <typename Map>
int32_t callsOf(int32_t channels) {
  if constexpr (kIsFloat<Map>) return tilesOf(channels);
  return channels / kPackedChannels * tilesOf(kPackedChannels) + tilesOf(channels % kPackedChannels);
}

}  // namespace

template <typename Map>
void gatherWeight(const ConvShape& s, const Image<Map>& image, const GradientRows<Map>& gradient,
                  float* dweight, float* workspace, int32_t partials, Pool* pool) {
  const int32_t taps = s.R * s.S;
  const int32_t panels = (s.K + kPanel - 1) / kPanel;
  const int64_t pixels = static_cast<int64_t>(s.N) * s.OH * s.OW;
  const int64_t perPartial = (pixels + partials - 1) / partials;
  const int64_t panelFloats = static_cast<int64_t>(taps) * s.C * kPanel;
  const int32_t run = tapsTogether(s), length = run * s.C;
  // Behind the rest a row of zeros, and copies at the edges.
  const size_t copied = static_cast<size_t>(length) * (run > 1 ? kBlockPixels + 1 : 1);
  if (sizeof(WeightScratch<Map>) + sizeof(Map) * copied > kThreadScratchBytes) __builtin_trap();

  const int32_t perTask = panelsPerTask(s, panels, partials);
  const int32_t groups = (panels + perTask - 1) / perTask;
  parallelFor(pool, partials * groups, [&](int32_t task, char* memory) {
    WeightScratch<Map>& scratch = *reinterpret_cast<WeightScratch<Map>*>(memory);
    Map* zeros = reinterpret_cast<Map*>(memory + sizeof scratch);
    Map* copies = zeros + length;
    Map* room = zeros + copied;
    __builtin_memset(zeros, 0, sizeof(Map) * length);
    const int32_t partial = task / groups, firstPanel = task % groups * perTask;
    const int32_t count = panels - firstPanel < perTask ? panels - firstPanel : perTask;
    float* sums = workspace + (static_cast<int64_t>(partial) * panels + firstPanel) * panelFloats;
    __builtin_memset(sums, 0, sizeof(float) * count * panelFloats);

    const int64_t first = partial * perPartial;
    const int64_t end = first + perPartial < pixels ? first + perPartial : pixels;
    for (int64_t p = first; p < end; p += kBlockPixels) {
      const int32_t block = static_cast<int32_t>(end - p < kBlockPixels ? end - p : kBlockPixels);
      const Pixel pixel = pixelAt(s, p), last = pixelAt(s, p + block - 1);
      const Map* x = rowsBetween(image, s.H, pixel.n, pixel.oh * s.stride - s.padding, last.n,
                                 last.oh * s.stride - s.padding + s.R - 1, room,
                                 memory + kThreadScratchBytes);
      const int32_t channel = firstPanel * kPanel, channels = s.K - channel;
      const int64_t place = p * s.K + channel;
      const auto pack = PLUSX_LAMBDA(const auto& rowOf) {
        packRows<Factor<Map>>(rowOf, block, count * kPanel, PLUSX_LAMBDA(int32_t i, int32_t k) {
          return scratch.dyPanels[k / kPanel] + i * kPanel + k % kPanel * kSteps<Factor<Map>>;
        });
      };
      if (gradient.normX) {
        pack(PLUSX_LAMBDA(int32_t i) {
          const int64_t row = place + int64_t{i} * s.K;
          return PLUSX_CLOSURE(int32_t k) {
            return gradientAt(gradient, row + k, channel + k, channels - k);
          };
        });
      } else {
        pack(PLUSX_LAMBDA(int32_t i) {
          return channelsFrom(gradient.dy + place + int64_t{i} * s.K, channels);
        });
      }
      const int64_t nextPlace = place + int64_t{block} * s.K;
      LinesAhead ahead(gradient.dy + nextPlace, gradient.normX ? gradient.normX + nextPlace : nullptr, s.K,
                       count * kPanel / kLine<Map>, taps / run * count * callsOf<Map>(length));
      for (int32_t tap = 0; tap < taps; tap += run) {
        findRows(s, x, pixel, block, tap / s.S, tap % s.S, run, zeros, copies, scratch.rows);
        accumulateRows(scratch, count, length, block, ahead,
                       sums + static_cast<int64_t>(tap) * s.C * kPanel, panelFloats);
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
