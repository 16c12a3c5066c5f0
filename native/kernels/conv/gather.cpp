#include "gather.h"

#include "multiply.h"

namespace plusx::PLUSX_ISA {

void packWeights(const WeightView& view, const int32_t* tapIndex, int32_t taps, float* packed,
                 Pool* pool) {
  const int32_t panels = (view.outputs + kPanel - 1) / kPanel;
  const int32_t reduction = reductionLength(taps, view.channels);
  parallelFor(pool, panels, [&](int32_t panel, char*) {
    float* to = packed + static_cast<int64_t>(panel) * reduction * kPanel;
    __builtin_memset(to, 0, sizeof(float) * reduction * kPanel);
    const int32_t first = panel * kPanel;
    const int32_t count = view.outputs - first < kPanel ? view.outputs - first : kPanel;
    for (int32_t tap = 0; tap < taps; ++tap) {
      const float* from = view.weight + tapIndex[tap] * view.tapStride;
      float* row = to + static_cast<int64_t>(tap) * view.channels * kPanel;
      // Whichever index is contiguous in memory runs innermost.
      if (view.outputStride == 1) {
        for (int32_t i = 0; i < view.channels; ++i) {
          for (int32_t o = 0; o < count; ++o) {
            row[i * kPanel + o] = from[i * view.reductionStride + first + o];
          }
        }
      } else {
        for (int32_t o = 0; o < count; ++o) {
          const float* line = from + (first + o) * view.outputStride;
          for (int32_t i = 0; i < view.channels; ++i) {
            row[i * kPanel + o] = line[i * view.reductionStride];
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

// Steps through the grid without dividing.
inline void advance(GridPixel& pixel, const Gather& g) {
  if (++pixel.j < g.gridW) return;
  pixel.j = 0;
  if (++pixel.i < g.gridH) return;
  pixel.i = 0;
  ++pixel.n;
}

inline const float* source(const Gather& g, const GridPixel& pixel, int32_t tap) {
  const int32_t row = pixel.i * g.inStride + g.tapRow[tap];
  const int32_t column = pixel.j * g.inStride + g.tapColumn[tap];
  const bool inside = static_cast<uint32_t>(row) < static_cast<uint32_t>(g.inH) &&
                      static_cast<uint32_t>(column) < static_cast<uint32_t>(g.inW);
  if (!inside) return nullptr;
  return g.in + ((static_cast<int64_t>(pixel.n) * g.inH + row) * g.inW + column) * g.inC;
}

// tile(e / 16, t, e % 16) for `count` steps of the reduction from e on.
inline void copyRun(const float* from, int32_t e, int32_t count, int32_t t, float* tile) {
  while (count > 0) {
    const int32_t room = kChunk - e % kChunk, piece = count < room ? count : room;
    float* to = tile + (e / kChunk * kTilePixels + t) * kChunk + e % kChunk;
    for (int32_t i = 0; i < piece; ++i) to[i] = from[i];
    from += piece;
    e += piece;
    count -= piece;
  }
}

// The channels of a few columns side by side, those inside the image.
void packRuns(const Gather& g, const GridPixel& pixel, int32_t t, float* tile) {
  for (int32_t tap = 0; tap < g.taps; tap += g.tapRun) {
    const int32_t row = pixel.i * g.inStride + g.tapRow[tap];
    const int32_t column = pixel.j * g.inStride + g.tapColumn[tap];
    if (row < 0 || row >= g.inH) continue;
    const int32_t first = column < 0 ? -column : 0;
    const int32_t end = g.inW - column < g.tapRun ? g.inW - column : g.tapRun;
    if (first >= end) continue;
    const float* from =
        g.in + ((static_cast<int64_t>(pixel.n) * g.inH + row) * g.inW + column + first) * g.inC;
    copyRun(from, (tap + first) * g.inC, (end - first) * g.inC, t, tile);
  }
}

// Lays the pixels of one tile side by side: tile(chunk, pixel, 16). A chunk is 16 steps of the
// reduction; the kernel reads them with one pointer and constant displacements.
void packTile(const Gather& g, GridPixel pixel, int32_t count, int32_t reduction, float* tile) {
  const bool wholeChunks = g.inC % kChunk == 0;
  if (!wholeChunks || count < kTilePixels || g.taps == 0) {
    __builtin_memset(tile, 0, sizeof(float) * reduction * kTilePixels);
  }
  for (int32_t t = 0; t < count; ++t, advance(pixel, g)) {
    if (!wholeChunks) {
      packRuns(g, pixel, t, tile);
      continue;
    }
    for (int32_t tap = 0; tap < g.taps; ++tap) {
      const float* from = source(g, pixel, tap);
      float* to = tile + (static_cast<int64_t>(tap) * g.inC / kChunk * kTilePixels + t) * kChunk;
      for (int32_t c = 0; c < g.inC; c += kChunk, to += kTilePixels * kChunk) {
        if (from) {
          __builtin_memcpy(to, from + c, sizeof(float) * kChunk);
        } else {
          __builtin_memset(to, 0, sizeof(float) * kChunk);
        }
      }
    }
  }
}

// Tiles whose packed inputs share the second-level cache with one panel of weights.
int32_t tilesPerBlock(int32_t reduction) {
  const int64_t tileBytes = static_cast<int64_t>(reduction) * kTilePixels * sizeof(float);
  const int64_t fit = (static_cast<int64_t>(768) << 10) / tileBytes;
  return static_cast<int32_t>(fit < 1 ? 1 : fit > 8 ? 8 : fit);
}

// A reduction so long that a single tile exceeds the scratch is done in parts.
constexpr int32_t kMaxReduction =
    static_cast<int32_t>((kThreadScratchBytes - 4096) / sizeof(float) / kTilePixels);

}  // namespace

void runGather(const Gather& g, Pool* pool) {
  const int32_t reduction = reductionLength(g.taps, g.inC);
  if (reduction > kMaxReduction) __builtin_trap();
  const int32_t panels = (g.outC + kPanel - 1) / kPanel;
  const int32_t blockTiles = tilesPerBlock(reduction);
  const int64_t pixels = static_cast<int64_t>(g.N) * g.gridH * g.gridW;
  const int64_t blockPixels = static_cast<int64_t>(blockTiles) * kTilePixels;
  const int32_t blocks = static_cast<int32_t>((pixels + blockPixels - 1) / blockPixels);

  parallelFor(pool, blocks, [&](int32_t block, char* scratch) {
    float* tiles = reinterpret_cast<float*>(scratch);
    const int64_t tileFloats = static_cast<int64_t>(reduction) * kTilePixels;
    const int64_t firstPixel = block * blockPixels;
    const int64_t left = pixels - firstPixel < blockPixels ? pixels - firstPixel : blockPixels;
    const int32_t tileCount = static_cast<int32_t>((left + kTilePixels - 1) / kTilePixels);
    GridPixel starts[8];
    for (int32_t t = 0; t < tileCount; ++t) {
      const int64_t p = firstPixel + t * kTilePixels;
      const int32_t inImage = static_cast<int32_t>(p % (static_cast<int64_t>(g.gridH) * g.gridW));
      starts[t] = {static_cast<int32_t>(p / (static_cast<int64_t>(g.gridH) * g.gridW)),
                   inImage / g.gridW, inImage % g.gridW};
      const int64_t count = left - t * kTilePixels;
      packTile(g, starts[t], static_cast<int32_t>(count < kTilePixels ? count : kTilePixels),
               reduction, tiles + t * tileFloats);
    }
    for (int32_t panel = 0; panel < panels; ++panel) {
      const float* weights = g.packed + static_cast<int64_t>(panel) * reduction * kPanel;
      const int32_t first = panel * kPanel;
      const int32_t channels = g.outC - first < kPanel ? g.outC - first : kPanel;
      for (int32_t t = 0; t < tileCount; ++t) {
        float result[kTilePixels * kPanel];
        GridPixel pixel = starts[t];
        const int64_t count = left - t * kTilePixels;
        multiplyRows(static_cast<int32_t>(count), tiles + t * tileFloats, weights, reduction,
                     result);
        for (int32_t q = 0; q < kTilePixels && q < count; ++q, advance(pixel, g)) {
          const int64_t row = static_cast<int64_t>(pixel.n) * g.outH + g.row0 + pixel.i * g.step;
          float* to = g.out + (row * g.outW + g.column0 + pixel.j * g.step) * g.outC + first;
          if (channels == kPanel) {
            store(to, load(result + q * kPanel));
            store(to + kWidth, load(result + q * kPanel + kWidth));
          } else {
            for (int32_t o = 0; o < channels; ++o) to[o] = result[q * kPanel + o];
          }
        }
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
