#include "gather.h"

#include "multiply.h"

namespace plusx::PLUSX_ISA {

template <typename Factor>
void packWeights(const WeightView& view, const int32_t* tapIndex, int32_t taps, Factor* packed,
                 Pool* pool) {
  constexpr int kStep = kSteps<Factor>;
  const int32_t panels = (view.outputs + kPanel - 1) / kPanel;
  const int32_t reduction = reductionLength(taps, view.channels);
  parallelFor(pool, panels, [&](int32_t panel, char*) {
    Factor* to = packed + static_cast<int64_t>(panel) * reduction * kPanel;
    __builtin_memset(to, 0, sizeof(Factor) * reduction * kPanel);
    const int32_t output = panel * kPanel;
    const int32_t count = view.outputs - output < kPanel ? view.outputs - output : kPanel;
    for (int32_t tap = 0; tap < taps; ++tap) {
      const float* from = view.weight + tapIndex[tap] * view.tapStride;
      const int32_t first = tap * view.channels;
      const auto placeOf = PLUSX_LAMBDA(int32_t i, int32_t o)->Factor& {
        const int64_t step = first + i;
        return to[step / kStep * kPanel * kStep + o * kStep + step % kStep];
      };
      // Whichever index is contiguous in memory runs innermost.
      if (view.outputStride == 1) {
        for (int32_t i = 0; i < view.channels; ++i) {
          for (int32_t o = 0; o < count; ++o) {
            placeOf(i, o) = from[i * view.reductionStride + output + o];
          }
        }
      } else {
        for (int32_t o = 0; o < count; ++o) {
          const float* line = from + (output + o) * view.outputStride;
          for (int32_t i = 0; i < view.channels; ++i) {
            placeOf(i, o) = line[i * view.reductionStride];
          }
        }
      }
    }
  });
}

namespace {

struct GridPixel {
  int32_t n, i, j;
};

template <typename Map>
GridPixel gridPixelAt(const Gather<Map>& g, int64_t p) {
  const int64_t image = static_cast<int64_t>(g.gridH) * g.gridW;
  const int32_t inImage = static_cast<int32_t>(p % image);
  return {static_cast<int32_t>(p / image), inImage / g.gridW, inImage % g.gridW};
}

// Steps through the grid without dividing.
template <typename Map>
inline void advance(GridPixel& pixel, const Gather<Map>& g) {
  if (++pixel.j < g.gridW) return;
  pixel.j = 0;
  if (++pixel.i < g.gridH) return;
  pixel.i = 0;
  ++pixel.n;
}

template <typename Map>
inline const Map* source(const Gather<Map>& g, const Map* in, const GridPixel& pixel, int32_t tap) {
  const int32_t row = pixel.i * g.inStride + g.tapRow[tap];
  const int32_t column = pixel.j * g.inStride + g.tapColumn[tap];
  const bool inside = static_cast<uint32_t>(row) < static_cast<uint32_t>(g.inH) &&
                      static_cast<uint32_t>(column) < static_cast<uint32_t>(g.inW);
  if (!inside) return nullptr;
  return in + ((static_cast<int64_t>(pixel.n) * g.inH + row) * g.inW + column) * g.inC;
}

// The channels of a run of columns side by side in `line`, zero outside the image. May write up to
// kWidth - 1 factors more.
template <typename Map>
inline void copyRun(const Gather<Map>& g, const Map* in, int32_t n, int32_t row, int32_t column,
                    Factor<Map>* line) {
  const int32_t length = g.tapRun * g.inC;
  const int32_t first = column < 0 ? -column : 0;
  const int32_t end = g.inW - column < g.tapRun ? g.inW - column : g.tapRun;
  const bool inside = row >= 0 && row < g.inH && first < end;
  const int64_t pixel = (static_cast<int64_t>(n) * g.inH + row) * g.inW + column;
  const int64_t pixels = static_cast<int64_t>(g.N) * g.inH * g.inW;
  // Whole vectors, where what follows the run is the image as well.
  if (inside && first == 0 && end == g.tapRun && pixel * g.inC + length + kWidth <= pixels * g.inC) {
    const Map* from = in + pixel * g.inC;
    for (int32_t i = 0; i < length; i += kWidth) copyVector(line + i, from + i);
    return;
  }
  for (int32_t i = 0; i < length; i += kWidth) store(line + i, Vector{});
  if (!inside) return;
  const Map* from = in + (pixel + first) * g.inC;
  for (int32_t i = 0; i < (end - first) * g.inC; ++i) line[first * g.inC + i] = from[i];
}

// Where the channels do not fill chunks, each pixel's are put in a line first. All lines before the
// first chunk: what has just been stored in other pieces cannot be loaded at once.
template <typename Map>
void packLines(const Gather<Map>& g, const Map* in, GridPixel pixel, int32_t count,
               int32_t reduction, Factor<Map>* lines, Factor<Map>* tile) {
  const int32_t lineFactors = reduction + kChunk;
  Factor<Map>* line = lines;
  for (int32_t t = 0; t < count; ++t, line += lineFactors, advance(pixel, g)) {
    for (int32_t tap = 0; tap < g.taps; tap += g.tapRun) {
      copyRun(g, in, pixel.n, pixel.i * g.inStride + g.tapRow[tap],
              pixel.j * g.inStride + g.tapColumn[tap], line + tap * g.inC);
    }
    for (int32_t e = g.taps * g.inC; e < reduction; ++e) line[e] = 0.0f;
  }
  for (int32_t e = 0; e < reduction; e += kChunk) {
    for (int32_t t = 0; t < count; ++t, tile += kChunk) {
      const Factor<Map>* from = lines + t * lineFactors + e;
      for (int32_t i = 0; i < kChunk; i += kWidth) copyVector(tile + i, from + i);
    }
    tile += (kTilePixels - count) * kChunk;
  }
}

// Lays the pixels of one tile side by side: tile(chunk, pixel, 16). A chunk is 16 steps of the
// reduction; the kernel reads them with one pointer and constant displacements.
template <typename Map>
void packTile(const Gather<Map>& g, const Map* in, GridPixel pixel, int32_t count, int32_t reduction,
              Factor<Map>* lines, Factor<Map>* tile) {
  const bool wholeChunks = g.inC % kChunk == 0;
  if (count < kTilePixels) {
    __builtin_memset(tile, 0, sizeof(Factor<Map>) * reduction * kTilePixels);
  }
  if (!wholeChunks) return packLines(g, in, pixel, count, reduction, lines, tile);
  // Where the next tile has the same pixel, but at a row's end.
  const int64_t ahead = static_cast<int64_t>(kTilePixels) * g.inStride * g.inC;
  for (int32_t t = 0; t < count; ++t, advance(pixel, g)) {
    for (int32_t tap = 0; tap < g.taps; ++tap) {
      const Map* from = source(g, in, pixel, tap);
      Factor<Map>* to =
          tile + (static_cast<int64_t>(tap) * g.inC / kChunk * kTilePixels + t) * kChunk;
      for (int32_t c = 0; c < g.inC; c += kChunk, to += kTilePixels * kChunk) {
        if (from) {
          __builtin_prefetch(from + c + ahead, 0, 2);
          for (int32_t i = 0; i < kChunk; i += kWidth) copyVector(to + i, from + c + i);
        } else {
          __builtin_memset(to, 0, sizeof(Factor<Map>) * kChunk);
        }
      }
    }
  }
}

// Where the output begins that belongs to a pixel of the grid.
template <typename Map>
inline int64_t placeOf(const Gather<Map>& g, const GridPixel& pixel) {
  const int64_t row = static_cast<int64_t>(pixel.n) * g.outH + g.row0 + pixel.i * g.step;
  return (row * g.outW + g.column0 + pixel.j * g.step) * g.outC;
}

// Fetches a tile's pixels, `channels` of each; of(pixel) is where one's begin, or null. Inlined: GCC takes
// a function that only fetches for one without effect, and calls to it are gone.
template <typename Map, typename Of>
PLUSX_INLINE void fetchPixels(const Gather<Map>& g, int64_t first, int32_t channels, const Of& of) {
  GridPixel pixel = gridPixelAt(g, first);
  for (int32_t t = 0; t < kTilePixels; ++t, advance(pixel, g)) {
    const Map* from = of(pixel);
    for (int32_t c = 0; from && c < channels; c += kLine<Map>) __builtin_prefetch(from + c, 0, 2);
  }
}

// What the tile that begins at a pixel of the grid is packed from, if that is a single tap, and what is
// added to its sums.
template <typename Map>
PLUSX_INLINE void fetchTile(const Gather<Map>& g, const Map* in, int64_t first) {
  const int64_t pixels = static_cast<int64_t>(g.N) * g.gridH * g.gridW;
  if (!kDirectsCaches || first + kTilePixels > pixels) return;
  if (g.taps == 1 && !g.image.normalization) {
    fetchPixels(g, first, g.inC, PLUSX_LAMBDA(const GridPixel& at) { return source(g, in, at, 0); });
  }
  if (g.other) {
    fetchPixels(g, first, g.outC, PLUSX_LAMBDA(const GridPixel& at) { return g.other + placeOf(g, at); });
  }
}

// Tiles whose packed inputs share the second-level cache with one panel of weights.
int32_t tilesPerBlock(int32_t reduction) {
  const int64_t tileBytes = static_cast<int64_t>(reduction) * kTilePixels * sizeof(float);
  const int64_t fit = (static_cast<int64_t>(768) << 10) / tileBytes;
  return static_cast<int32_t>(fit < 1 ? 1 : fit > 8 ? 8 : fit);
}

// The rows of the images that taps of a block's pixels, first to last, may reach.
template <typename Map>
const Map* rowsOfBlock(const Gather<Map>& g, const GridPixel& first, const GridPixel& last, Map* room,
                       const char* roomEnd) {
  int32_t top = g.tapRow[0], bottom = g.tapRow[0];
  for (int32_t tap = 1; tap < g.taps; ++tap) {
    top = g.tapRow[tap] < top ? g.tapRow[tap] : top;
    bottom = g.tapRow[tap] > bottom ? g.tapRow[tap] : bottom;
  }
  return rowsBetween(g.image, g.inH, first.n, first.i * g.inStride + top, last.n,
                     last.i * g.inStride + bottom, room, roomEnd);
}

// A single tile and the lines of its pixels fit into the scratch.
constexpr int32_t kMaxReduction =
    static_cast<int32_t>((kThreadScratchBytes - 4096) / sizeof(float) / (2 * kTilePixels));

}  // namespace

template <typename Map>
void runGather(const Gather<Map>& g, Pool* pool) {
  const int32_t reduction = reductionLength(g.taps, g.inC);
  if (reduction > kMaxReduction) __builtin_trap();
  const int32_t panels = (g.outC + kPanel - 1) / kPanel;
  const int32_t blockTiles = tilesPerBlock(reduction);
  const int64_t pixels = static_cast<int64_t>(g.N) * g.gridH * g.gridW;
  const int64_t blockPixels = static_cast<int64_t>(blockTiles) * kTilePixels;
  const int32_t blocks = static_cast<int32_t>((pixels + blockPixels - 1) / blockPixels);

  // What was read a moment ago is stored where it is.
  const bool streaming = !g.other && streams<Map>(int64_t{g.N} * g.outH * g.outW, g.outC);
  const int32_t perSplit = (panels + g.channelSplits - 1) / g.channelSplits;

  parallelFor(pool, blocks * g.channelSplits, [&](int32_t task, char* scratch) {
    const int32_t block = task / g.channelSplits;
    const int32_t firstPanel = task % g.channelSplits * perSplit;
    const int32_t endPanel = firstPanel + perSplit < panels ? firstPanel + perSplit : panels;
    Factor<Map>* tiles = reinterpret_cast<Factor<Map>*>(scratch);
    const int64_t tileFactors = static_cast<int64_t>(reduction) * kTilePixels;
    Factor<Map>* lines = tiles + blockTiles * tileFactors;
    const int64_t firstPixel = block * blockPixels;
    const int64_t left = pixels - firstPixel < blockPixels ? pixels - firstPixel : blockPixels;
    const int32_t tileCount = static_cast<int32_t>((left + kTilePixels - 1) / kTilePixels);
    const auto rowsOf = PLUSX_LAMBDA(int32_t tile) {
      const int64_t rest = left - tile * kTilePixels;
      return static_cast<int32_t>(rest < kTilePixels ? rest : kTilePixels);
    };
    Map* room = reinterpret_cast<Map*>(lines + kTilePixels * (reduction + kChunk));
    const GridPixel lastPixel = gridPixelAt(g, firstPixel + left - 1);
    const Map* in = rowsOfBlock(g, gridPixelAt(g, firstPixel), lastPixel, room,
                                scratch + kThreadScratchBytes);
    GridPixel starts[8];
    for (int32_t t = 0; t < tileCount; ++t) {
      starts[t] = gridPixelAt(g, firstPixel + t * kTilePixels);
      const int32_t count = rowsOf(t);
      packTile(g, in, starts[t], count, reduction, lines, tiles + t * tileFactors);
    }
    for (int32_t panel = firstPanel; panel < endPanel; ++panel) {
      const Factor<Map>* weights = g.packed + static_cast<int64_t>(panel) * reduction * kPanel;
      const int32_t first = panel * kPanel;
      const int32_t channels = g.outC - first < kPanel ? g.outC - first : kPanel;
      for (int32_t t = 0; t < tileCount; ++t) {
        float result[kTilePixels * kPanel];
        GridPixel pixel = starts[t];
        const int32_t count = rowsOf(t);
        const Factor<Map>* tile = tiles + t * tileFactors;
        // The next block is nearly always this thread's next.
        if (panel == firstPanel) fetchTile(g, in, firstPixel + blockPixels + t * kTilePixels);
        multiplyRows(count, tile, weights, reduction, result, tile + tileFactors);
        for (int32_t q = 0; q < count; ++q, advance(pixel, g)) {
          const int64_t offset = placeOf(g, pixel) + first;
          storePixel(g.epilogue, result + q * kPanel, offset, first, channels, streaming,
                     g.other ? g.other + offset : nullptr, g.out + offset);
        }
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
