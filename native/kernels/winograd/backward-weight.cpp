// dweight = Gᵀ[Σ (A dy Aᵀ) ⊙ (Bᵀ x B)]G: 36 matrix products whose inner index runs over tiles, and
// over the products of a tile that share a filter.
//
// A task sums one range of tiles for one block of channels into its own part of the workspace, laid
// out (partial, filter, panel of c, k, kPanel); a last pass adds the parts in their order.
#include "winograd.h"

namespace plusx::PLUSX_ISA {

namespace {

// sums(k, c) += Σ_t dy(t, k) x(t, c) for Channels consecutive k and one panel of c.
template <int Channels>
__attribute__((noinline)) void accumulateTiles(const float* dy, const float* x, int32_t tiles,
                                               bool first, float* sums) {
  Vector acc[Channels][2] = {};
  if (!first) {
#pragma GCC unroll 16
    for (int k = 0; k < Channels; ++k) {
      acc[k][0] = load(sums + k * kPanel);
      acc[k][1] = load(sums + k * kPanel + kWidth);
    }
  }
  for (int32_t t = 0; t < tiles; ++t, dy += kChunk, x += kPanel) {
    keepPointer(dy);
    keepPointer(x);
    const Vector x0 = load(x), x1 = load(x + kWidth);
#pragma GCC unroll 16
    for (int k = 0; k < Channels; ++k) {
      acc[k][0] += dy[k] * x0;
      acc[k][1] += dy[k] * x1;
    }
  }
#pragma GCC unroll 16
  for (int k = 0; k < Channels; ++k) {
    store(sums + k * kPanel, acc[k][0]);
    store(sums + k * kPanel + kWidth, acc[k][1]);
  }
}

// (position, block of `lanes` channels, tile, lanes), a line added to each position.
struct Domain {
  int32_t first, count;  // channels
  int32_t lanes;
  int64_t positionStride;
};

Domain domainOf(int32_t first, int32_t count, int32_t lanes, int32_t tiles) {
  const int32_t blocks = (count + lanes - 1) / lanes;
  return {first, count, lanes, static_cast<int64_t>(blocks) * tiles * lanes + kChunk};
}

float* placeOf(const Domain& domain, float* base, int32_t tiles, int32_t t, int32_t channel) {
  const int64_t block = channel / domain.lanes;
  return base + (block * tiles + t) * domain.lanes + channel % domain.lanes;
}

struct WeightTask {
  const ConvShape& s;
  TileGrid grid;
  Domain x, dy;
};

template <typename Tiling>
void transformTile(const WeightTask& task, const float* x, const Prologue& prologue,
                   const float* dy, const TilePosition& tile, int32_t tiles, int32_t t, float* xTo,
                   float* dyTo) {
  const ConvShape& s = task.s;
  const float* image = x + static_cast<int64_t>(tile.n) * s.H * s.W * s.C;
  const float* gradient = dy + static_cast<int64_t>(tile.n) * s.OH * s.OW * s.K;
  const int32_t h = tile.row * Tiling::kAdvance - s.padding;
  const int32_t w = tile.column * Tiling::kAdvance - s.padding;
  const int32_t oh = tile.row * Tiling::kOutput, ow = tile.column * Tiling::kOutput;
  for (int32_t c = 0; c < task.x.count; c += kWidth) {
    float* to = placeOf(task.x, xTo, tiles, t, c);
    const auto keep = PLUSX_LAMBDA(int i, int j, Vector value) {
      store(to + (i * Tiling::kProducts + j) * task.x.positionStride, value);
    };
    withTile<Tiling::kInput, Tiling::kAdvance>(
        {image, s.H, s.W, s.C, h, w, task.x.first + c}, prologue,
        PLUSX_LAMBDA(const auto& in) { transformInputTile<Tiling>(in, keep); });
  }
  for (int32_t k = 0; k < task.dy.count; k += kWidth) {
    float* to = placeOf(task.dy, dyTo, tiles, t, k);
    const auto keep = PLUSX_LAMBDA(int i, int j, Vector value) {
      store(to + (i * Tiling::kProducts + j) * task.dy.positionStride, value);
    };
    withTile<Tiling::kOutput, Tiling::kOutput>(
        {gradient, s.OH, s.OW, s.K, oh, ow, task.dy.first + k}, {},
        PLUSX_LAMBDA(const auto& in) { transformGradientTile<Tiling>(in, keep); });
  }
}

int32_t roundUp(int32_t value, int32_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// dweight(k, tap, c) = Gᵀ u G for one vector of c, the partial sums added in their order.
template <typename Tiling>
void transformBack(const float* sums, int32_t partials, int64_t partialStride,
                   int64_t filterStride, int32_t channels, int64_t C, float* dweight) {
  transformFilterGradient<Tiling>(
      PLUSX_LAMBDA(int i, int j) {
        const float* from = sums + (i * kFilters + j) * filterStride;
        Vector total = load(from);
        for (int32_t part = 1; part < partials; ++part) total += load(from + part * partialStride);
        return total;
      },
      PLUSX_LAMBDA(int i, int j, Vector value) {
        storeLanes(dweight + (i * 3 + j) * C, value, channels);
      });
}

}  // namespace

template <typename Tiling>
void runWinogradWeight(const ConvShape& s, const float* x, const Prologue& prologue,
                       const float* dy, float* dweight, float* workspace,
                       const WinogradWeightCut& cut, Pool* pool) {
  const TileGrid grid = gridOf<Tiling>(s.N, s.OH, s.OW);
  const int32_t tiles = grid.count();
  const int32_t perPartial = (tiles + cut.partials - 1) / cut.partials;
  const int32_t blocksC = (s.C + cut.blockC - 1) / cut.blockC;
  const int32_t blocksK = (s.K + cut.blockK - 1) / cut.blockK;
  const int32_t paddedC = roundUp(s.C, kPanel), paddedK = roundUp(s.K, kChunk);
  const int64_t panelStride = static_cast<int64_t>(paddedK) * kPanel;
  const int64_t filterStride = paddedC / kPanel * panelStride;
  const int64_t partialStride = kFilters * kFilters * filterStride;

  parallelFor(pool, cut.partials * blocksC * blocksK, [&](int32_t index, char* scratch) {
    const int32_t partial = index / (blocksC * blocksK);
    const int32_t firstC = index % blocksC * cut.blockC;
    const int32_t firstK = index / blocksC % blocksK * cut.blockK;
    const int32_t countC = s.C - firstC < cut.blockC ? s.C - firstC : cut.blockC;
    const int32_t countK = s.K - firstK < cut.blockK ? s.K - firstK : cut.blockK;
    const WeightTask task = {s, grid, domainOf(firstC, countC, kPanel, cut.blockTiles),
                             domainOf(firstK, countK, kChunk, cut.blockTiles)};
    float* xTiles = reinterpret_cast<float*>(scratch);
    float* dyTiles = xTiles + kPositions<Tiling> * task.x.positionStride;
    const int64_t bytes =
        sizeof(float) * kPositions<Tiling> * (task.x.positionStride + task.dy.positionStride);
    if (bytes > static_cast<int64_t>(kThreadScratchBytes)) __builtin_trap();

    float* sums = workspace + partial * partialStride +
                  firstC / kPanel * panelStride + static_cast<int64_t>(firstK) * kPanel;
    const int32_t firstTile = partial * perPartial;
    const int32_t endTile = firstTile + perPartial < tiles ? firstTile + perPartial : tiles;
    for (int32_t start = firstTile; start < endTile || start == firstTile;
         start += cut.blockTiles) {
      const int32_t left = endTile - start;
      const int32_t count = left < cut.blockTiles ? (left < 0 ? 0 : left) : cut.blockTiles;
      TilePosition tile = tileAt(grid, start);
      for (int32_t t = 0; t < count; ++t, advance(tile, grid)) {
        transformTile<Tiling>(task, x, prologue, dy, tile, cut.blockTiles, t, xTiles, dyTiles);
      }
      for (const Product& product : kOrder<Tiling>.list) {
        const bool first = product.first && start == firstTile;
        const float* xPanel = xTiles + product.position * task.x.positionStride;
        float* panelSums = sums + product.filter * filterStride;
        for (int32_t c = 0; c < countC; c += kPanel) {
          const float* dyChunk = dyTiles + product.position * task.dy.positionStride;
          for (int32_t k = 0; k < countK; k += kChunk) {
            for (int32_t i = 0; i < kChunk; i += kTileChannels) {
              accumulateTiles<kTileChannels>(dyChunk + i, xPanel, count, first,
                                             panelSums + static_cast<int64_t>(k + i) * kPanel);
            }
            dyChunk += static_cast<int64_t>(cut.blockTiles) * kChunk;
          }
          xPanel += static_cast<int64_t>(cut.blockTiles) * kPanel;
          panelSums += panelStride;
        }
      }
    }
  });

  const int32_t chunks = paddedK / kChunk;
  parallelFor(pool, paddedC / kPanel * chunks, [&](int32_t task, char*) {
    const int32_t panel = task / chunks, firstK = task % chunks * kChunk;
    const int32_t endK = firstK + kChunk < s.K ? firstK + kChunk : s.K;
    for (int32_t k = firstK; k < endK; ++k) {
      for (int half = 0; half < 2; ++half) {
        const int32_t c = panel * kPanel + half * kWidth;
        if (c >= s.C) break;
        transformBack<Tiling>(workspace + panel * panelStride + static_cast<int64_t>(k) * kPanel +
                                  half * kWidth,
                              cut.partials, partialStride, filterStride,
                              s.C - c < kWidth ? s.C - c : kWidth, s.C,
                              dweight + static_cast<int64_t>(k) * 9 * s.C + c);
      }
    }
  });
}

template void runWinogradWeight<Stride1>(const ConvShape&, const float*, const Prologue&,
                                         const float*, float*, float*, const WinogradWeightCut&,
                                         Pool*);
template void runWinogradWeight<Stride2>(const ConvShape&, const float*, const Prologue&,
                                         const float*, float*, float*, const WinogradWeightCut&,
                                         Pool*);

}  // namespace plusx::PLUSX_ISA
