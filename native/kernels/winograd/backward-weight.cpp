// dweight = Gᵀ[Σ (A dy Aᵀ) ⊙ (Bᵀ x B)]G: 36 matrix products whose inner index runs over tiles, and
// over the products of a tile that share a filter.
//
// A task sums one range of tiles for one block of channels in its own scratch, and transforms the sums
// back; where there are several ranges, a last pass adds them in their order.
#include "kernels/conv/multiply.h"
#include "winograd.h"

namespace plusx::PLUSX_ISA {

namespace {

// sums(k, c) (+)= Σ_t dy(t, k) x(t, c) for Channels consecutive k and one panel of c.
//
// What a long sum errs grows with the square root of its terms: each block of tiles is summed for itself.
template <int Channels, bool Accumulate, typename Factor>
__attribute__((noinline)) void accumulateTiles(const Factor* dy, const Factor* x, int32_t tiles,
                                               float* sums) {
  constexpr int kStep = kSteps<Factor>, kGroup = lastRows(Channels);
  if constexpr (Accumulate) {
    // Those of the next channels, which are next.
#pragma GCC unroll 16
    for (int k = 0; k < Channels; ++k) {
      __builtin_prefetch(sums + (Channels + k) * kPanel, 1);
      __builtin_prefetch(sums + (Channels + k) * kPanel + kWidth, 1);
    }
  }
  Vector acc[Channels][2] = {};
  const auto step = PLUSX_LAMBDA(const Factor* d, const Factor* lanes, int from, int to) {
    d = opaque(d);
    lanes = opaque(lanes);
    const auto x0 = lanesOf(lanes), x1 = lanesOf(lanes + kWidth * kStep);
#pragma GCC unroll 16
    for (int k = from; k < to; ++k) {
      const auto value = broadcastOf(d + k * kStep);
      multiplyAdd(acc[k][0], value, x0);
      multiplyAdd(acc[k][1], value, x1);
    }
  };
  int32_t left = tiles;
  for (; left > kLastSteps * kStep; left -= kStep, dy += kChunk * kStep, x += kPanel * kStep) {
    step(dy, x, 0, Channels);
  }
#pragma GCC unroll 16
  for (int from = 0; from < Channels; from += kGroup) {
    const int to = from + kGroup < Channels ? from + kGroup : Channels;
    for (int32_t t = 0; t < left; t += kStep) step(dy + t * kChunk, x + t * kPanel, from, to);
    storeRows<Accumulate>(acc, from, to, sums);
  }
}

// Calls body(from, channels) for the register tiles of a chunk of channels: few, of about the same size.
constexpr int kChunkTiles = (kChunk + kTilePixels - 1) / kTilePixels;

template <typename Body, int... Tile>
PLUSX_INLINE void eachRegisterTile(const Body& body, std::integer_sequence<int, Tile...>) {
  constexpr auto first = [](int tile) { return kChunk * tile / kChunkTiles; };
  (body(std::integral_constant<int, first(Tile)>{},
        std::integral_constant<int, first(Tile + 1) - first(Tile)>{}),
   ...);
}
template <typename Body>
PLUSX_INLINE void eachRegisterTile(const Body& body) {
  eachRegisterTile(body, std::make_integer_sequence<int, kChunkTiles>{});
}

// (position, block of Lanes channels, tile, Lanes), a line added to each position; of bfloat16
// (…, tile/2, Lanes, 2).
template <int Lanes, typename Factor>
struct Domain {
  int32_t first, count;  // channels
  int32_t tiles;

  int64_t positionStride() const {
    return static_cast<int64_t>((count + Lanes - 1) / Lanes) * tiles * Lanes + kLine<Factor>;
  }
  // `tile` begins a step.
  Factor* placeOf(Factor* base, int32_t tile, int32_t channel) const {
    const int64_t block = channel / Lanes;
    return base + (block * tiles + tile) * Lanes + channel % Lanes * kSteps<Factor>;
  }
};

// Tiles that are transformed together: one, or two whose transforms lie side by side.
template <typename Factor>
struct TileStep {
  TilePosition tiles[kSteps<Factor>];
  int32_t count;
};

// transform(i, keep) calls keep(row)(column, value) for each product of the step's ith tile.
template <typename Tiling, typename Transform>
PLUSX_INLINE void layDown(int32_t, int64_t positionStride, float* to, const Transform& transform) {
  transform(0, PLUSX_LAMBDA(int i) {
    float* row = opaque(to + i * Tiling::kProducts * positionStride);
    return PLUSX_CLOSURE(int j, Vector value) { store(row + j * positionStride, value); };
  });
}

#if defined(__AVX512BF16__)
template <typename Tiling, typename Transform>
PLUSX_INLINE void layDown(int32_t count, int64_t positionStride, BFloat* to,
                          const Transform& transform) {
  Vector values[2][kPositions<Tiling>];
  for (int t = 0; t < count; ++t) {
    transform(t, PLUSX_LAMBDA(int i) {
      Vector* row = values[t] + i * Tiling::kProducts;
      return PLUSX_CLOSURE(int j, Vector value) { row[j] = value; };
    });
  }
  for (int position = 0; position < kPositions<Tiling>; ++position) {
    storePairs(to + position * positionStride, values[0][position],
               count == 1 ? Vector{} : values[1][position]);
  }
}
#endif

// Every channel of the domain of a step's tiles, the first of which is tile `t` of its block.
// transform(in, keep) is that of one vector.
template <typename Tiling, int Edge, int Advance, int Lanes, typename Map, typename Transform>
PLUSX_INLINE void transformStep(const TiledMap<Map>& map, const TileGrid& grid,
                                const Prologue& prologue, const TileStep<Factor<Map>>& step,
                                int32_t t, const Domain<Lanes, Factor<Map>>& domain,
                                Factor<Map>* to, const Transform& transform) {
  TileSource<Edge, Map> sources[kSteps<Factor<Map>>];
  for (int i = 0; i < kSteps<Factor<Map>>; ++i) {
    sources[i] = tileOf<Edge, Advance>(map, grid, step.tiles[i]);
    touchTile<Edge, Advance>(map, sources[i], domain.first, domain.count);
  }
  const int64_t positionStride = domain.positionStride();
  for (int32_t c = 0; c < domain.count; c += kWidth) {
    layDown<Tiling>(step.count, positionStride, domain.placeOf(to, t, c),
                    PLUSX_LAMBDA(int i, const auto& keep) {
                      withTile<Edge, Advance>(
                          map, sources[i], domain.first + c, prologue,
                          PLUSX_LAMBDA(const auto& in) { transform(in, keep); });
                    });
  }
}

template <typename Map>
struct WeightTask {
  TileGrid grid;
  TiledMap<Map> x, dy;
  Prologue prologue;
  Domain<kPanel, Factor<Map>> xDomain;
  Domain<kChunk, Factor<Map>> dyDomain;
};

template <typename Tiling, typename Map>
void transformTiles(const WeightTask<Map>& task, const TileStep<Factor<Map>>& step, int32_t t,
                    Factor<Map>* xTiles, Factor<Map>* dyTiles) {
  transformStep<Tiling, Tiling::kInput, Tiling::kAdvance>(
      task.x, task.grid, task.prologue, step, t, task.xDomain, xTiles,
      PLUSX_LAMBDA(const auto& in, const auto& keep) { transformInputTile<Tiling>(in, keep); });
  transformStep<Tiling, Tiling::kOutput, Tiling::kOutput>(
      task.dy, task.grid, Prologue{}, step, t, task.dyDomain, dyTiles,
      PLUSX_LAMBDA(const auto& in, const auto& keep) { transformGradientTile<Tiling>(in, keep); });
}

int32_t roundUp(int32_t value, int32_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Gᵀ u G for one vector of channels: to dweight(tap), C numbers from one tap to the next, or added to it.
template <typename Tiling>
void transformBack(const float* sums, int64_t filterStride, int32_t channels, int64_t C,
                   bool accumulate, bool streaming, float* dweight) {
  transformFilterGradient<Tiling>(
      PLUSX_LAMBDA(int j) {
        const float* column = opaque(sums + j * filterStride);
        return PLUSX_CLOSURE(int i) { return load(column + i * kFilters * filterStride); };
      },
      PLUSX_LAMBDA(int i) {
        return PLUSX_CLOSURE(int j, Vector value) {
          float* to = dweight + (i * 3 + j) * C;
          if (accumulate) value += loadLanes(to, channels);
          storeMap(to, value, channels, streaming);
        };
      });
}

// total(i) (+)= Σ parts(part, i), part by part, for so many vectors side by side, `lanes` of each.
template <int Vectors>
PLUSX_INLINE void addRun(const float* parts, int32_t count, int64_t length, bool accumulate, int32_t lanes,
                         float* total) {
  Vector sums[Vectors];
  for (int v = 0; v < Vectors; ++v) {
    sums[v] = loadLanes(parts + v * kWidth, lanes);
    if (accumulate) sums[v] += loadLanes(total + v * kWidth, lanes);
  }
  for (int32_t part = 1; part < count; ++part) {
    const float* from = parts + part * length;
    for (int v = 0; v < Vectors; ++v) sums[v] += loadLanes(from + v * kWidth, lanes);
  }
  for (int v = 0; v < Vectors; ++v) storeLanes(total + v * kWidth, sums[v], lanes);
}

// The same for `length` numbers, in runs: main memory hands out neighbouring lines faster.
void addParts(const float* parts, int32_t count, int64_t length, bool accumulate, float* total,
              Pool* pool) {
  constexpr int64_t kTask = 1 << 14;
  constexpr int kRun = 4;
  parallelFor(pool, static_cast<int32_t>((length + kTask - 1) / kTask), [&](int32_t task, char*) {
    const int64_t end = (task + 1) * kTask < length ? (task + 1) * kTask : length;
    int64_t i = task * kTask;
    for (; i + kRun * kWidth <= end; i += kRun * kWidth) {
      addRun<kRun>(parts + i, count, length, accumulate, kWidth, total + i);
    }
    for (; i < end; i += kWidth) {
      const int32_t lanes = end - i < kWidth ? static_cast<int32_t>(end - i) : kWidth;
      addRun<1>(parts + i, count, length, accumulate, lanes, total + i);
    }
  });
}

}  // namespace

template <typename Tiling, typename Map>
void runWinogradWeight(const ConvShape& s, const Map* x, const Prologue& prologue, const Map* dy,
                       float* dweight, bool accumulate, float* workspace,
                       const WinogradWeightCut& cut, Pool* pool) {
  constexpr int kStep = kSteps<Factor<Map>>;
  const TileGrid grid = gridOf<Tiling>(s.N, s.OH, s.OW);
  const int32_t tiles = grid.count();
  const int32_t perPartial = (tiles + cut.partials - 1) / cut.partials;
  const int32_t blocksC = (s.C + cut.blockC - 1) / cut.blockC;
  const int32_t blocksK = (s.K + cut.blockK - 1) / cut.blockK;
  const int64_t weights = static_cast<int64_t>(s.K) * 9 * s.C;
  const int32_t domainTiles = roundUp(cut.blockTiles, kStep);

  parallelFor(pool, cut.partials * blocksC * blocksK, [&](int32_t index, char* scratch) {
    const int32_t partial = index / (blocksC * blocksK);
    const int32_t firstC = index % blocksC * cut.blockC;
    const int32_t firstK = index / blocksC % blocksK * cut.blockK;
    const int32_t countC = s.C - firstC < cut.blockC ? s.C - firstC : cut.blockC;
    const int32_t countK = s.K - firstK < cut.blockK ? s.K - firstK : cut.blockK;
    const WeightTask<Map> task = {grid,
                                  {x, s.H, s.W, s.C, s.padding},
                                  {dy, s.OH, s.OW, s.K, 0},
                                  prologue,
                                  {firstC, countC, domainTiles},
                                  {firstK, countK, domainTiles}};
    const int64_t xStride = task.xDomain.positionStride();
    const int64_t dyStride = task.dyDomain.positionStride();
    // (filter, panel of c, k, kPanel), a line added to each filter.
    const int64_t panelStride = static_cast<int64_t>(roundUp(countK, kChunk)) * kPanel;
    const int64_t filterStride = roundUp(countC, kPanel) / kPanel * panelStride + kLine<float>;
    Factor<Map>* xTiles = reinterpret_cast<Factor<Map>*>(scratch);
    Factor<Map>* dyTiles = xTiles + kPositions<Tiling> * xStride;
    float* sums = reinterpret_cast<float*>(dyTiles + kPositions<Tiling> * dyStride);
    const float* end = sums + kFilters * kFilters * filterStride;
    if (reinterpret_cast<const char*>(end) - scratch > int64_t{kThreadScratchBytes}) {
      __builtin_trap();
    }

    const int32_t firstTile = partial * perPartial;
    const int32_t endTile = firstTile + perPartial < tiles ? firstTile + perPartial : tiles;
    for (int32_t start = firstTile; start < endTile || start == firstTile;
         start += cut.blockTiles) {
      const int32_t left = endTile - start;
      const int32_t count = left < cut.blockTiles ? (left < 0 ? 0 : left) : cut.blockTiles;
      TilePosition tile = tileAt(grid, start);
      for (int32_t t = 0; t < count; t += kStep) {
        TileStep<Factor<Map>> step;
        step.count = count - t < kStep ? count - t : kStep;
        for (TilePosition& position : step.tiles) {
          position = tile;
          advance(tile, grid);
        }
        transformTiles<Tiling, Map>(task, step, t, xTiles, dyTiles);
      }
      const int32_t next = start + cut.blockTiles;
      const int32_t nextTiles = endTile - next < cut.blockTiles ? endTile - next : cut.blockTiles;
      PixelsAhead<Tiling::kAdvance, 8, Map> xAhead(task.x, grid, next, nextTiles, firstC, countC);
      PixelsAhead<Tiling::kOutput, 8, Map> dyAhead(task.dy, grid, next, nextTiles, firstK, countK);
      for (const Product& product : kOrder<Tiling>.list) {
        const bool first = product.first && start == firstTile;
        const Factor<Map>* xPanel = xTiles + product.position * xStride;
        float* panelSums = sums + product.filter * filterStride;
        for (int32_t c = 0; c < countC; c += kPanel) {
          const Factor<Map>* dyChunk = dyTiles + product.position * dyStride;
          for (int32_t k = 0; k < countK; k += kChunk) {
            eachRegisterTile(PLUSX_LAMBDA(auto from, auto channels) {
              xAhead.fetch();
              dyAhead.fetch();
              float* to = panelSums + static_cast<int64_t>(k + from) * kPanel;
              if (first) {
                accumulateTiles<channels, false>(dyChunk + from * kStep, xPanel, count, to);
              } else {
                accumulateTiles<channels, true>(dyChunk + from * kStep, xPanel, count, to);
              }
            });
            dyChunk += static_cast<int64_t>(domainTiles) * kChunk;
          }
          xPanel += static_cast<int64_t>(domainTiles) * kPanel;
          panelSums += panelStride;
        }
      }
    }

    float* to = (cut.partials == 1 ? dweight : workspace + partial * weights) +
                static_cast<int64_t>(firstK) * 9 * s.C + firstC;
    const bool streaming = streams<float>(int64_t{s.K} * 9 * cut.partials, s.C);
    for (int32_t k = 0; k < countK; ++k, to += 9 * s.C) {
      for (int32_t c = 0; c < countC; c += kWidth) {
        transformBack<Tiling>(sums + c / kPanel * panelStride + k * kPanel + c % kPanel,
                              filterStride, countC - c < kWidth ? countC - c : kWidth, s.C,
                              accumulate && cut.partials == 1, streaming, to + c);
      }
    }
  });
  if (cut.partials > 1) addParts(workspace, cut.partials, weights, accumulate, dweight, pool);
}

}  // namespace plusx::PLUSX_ISA
