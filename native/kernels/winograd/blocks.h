// What a pass over tiles does with a block of them: transforms, products, statistics.
#pragma once
#include "kernels/conv/multiply.h"
#include "winograd.h"

namespace plusx::PLUSX_ISA {

// Tiles that are transformed and multiplied together, and how their transforms lie.
struct Block {
  int32_t first, count;  // tiles
  int32_t groups;        // each has room for kTilePixels tiles
  int32_t groupTiles;    // in each of the first largeGroups, one less in the others
  int32_t largeGroups;
  int32_t chunks;     // of kChunk input channels
  int32_t runChunks;  // that are multiplied together
  // Of inputs: between positions, groups, runs.
  int64_t inputStride, groupStride, runStride;
  int64_t productStride;  // between positions

  bool inRuns() const { return runChunks < chunks; }
  int32_t tilesOf(int32_t group) const { return groupTiles - (group >= largeGroups); }
  int32_t firstOf(int32_t group) const {
    return group * groupTiles - (group > largeGroups ? group - largeGroups : 0);
  }
};

// The block's inputs lie as (position, group, channels), or, where they are multiplied in runs of channels,
// as (run, group, position, channels of the run): as one run after the other reads them. A line is added
// between positions, so that the streams of stores do not fall into one set of the cache.
template <typename Tiling, typename Map>
Block blockAt(const WinogradPass<Map>& pass, int32_t tiles, int32_t index, bool inRuns) {
  Block block;
  block.first = index * pass.blockTiles;
  const int32_t left = tiles - block.first;
  block.count = left < pass.blockTiles ? left : pass.blockTiles;
  block.groups = (block.count + kTilePixels - 1) / kTilePixels;
  block.groupTiles = (block.count + block.groups - 1) / block.groups;
  block.largeGroups = block.count - block.groups * (block.groupTiles - 1);
  block.chunks = (pass.inC + kChunk - 1) / kChunk;
  block.runChunks = inRuns ? kStagedChannels / kChunk : block.chunks;
  const int64_t run = int64_t{block.runChunks} * kTilePixels * kChunk;
  if (inRuns) {
    block.inputStride = run + kLine<Factor<Map>>;
    block.groupStride = kPositions<Tiling> * block.inputStride;
    block.runStride = block.groups * block.groupStride;
  } else {
    block.groupStride = run;
    block.inputStride = block.groups * block.groupStride + kLine<Factor<Map>>;
    block.runStride = kPositions<Tiling> * block.inputStride;
  }
  block.productStride = static_cast<int64_t>(block.groups) * kTilePixels * kPanel + kLine<float>;
  return block;
}

// Of all inputs of a block.
static inline int64_t inputFactors(const Block& block) {
  return (block.chunks + block.runChunks - 1) / block.runChunks * block.runStride;
}

// Calls body(group, number in the group) for the tiles of groups from .. to.
template <typename Body>
PLUSX_INLINE void eachTileOf(const Block& block, int32_t from, int32_t to, const Body& body) {
  for (int32_t group = from; group < to; ++group) {
    for (int32_t i = 0; i < block.tilesOf(group); ++i) body(group, i);
  }
}

// inputs(position, tile, channel) = Bᵀ d B of the tiles of groups from .. to of the block, zero beyond the
// last channel.
template <typename Tiling, typename Map>
void transformInputs(const WinogradPass<Map>& pass, const TileGrid& grid, const Block& block,
                     int32_t from, int32_t to, Factor<Map>* inputs) {
  const TiledMap<Map> map = {pass.in, pass.inH, pass.inW, pass.inC, pass.padding};
  // Only what goes forward has a prologue: the compiler is to know.
  const Prologue prologue = Tiling::kForward ? pass.prologue : Prologue{};
  TilePosition tile = tileAt(grid, block.first + block.firstOf(from));
  eachTileOf(block, from, to, PLUSX_LAMBDA(int32_t group, int32_t row) {
    Factor<Map>* place = inputs + group * block.groupStride + row * kChunk;
    const auto source = tileOf<Tiling::kInput, Tiling::kAdvance>(map, grid, tile);
    touchTile<Tiling::kInput, Tiling::kAdvance>(map, source, 0, pass.inC);
    for (int32_t c = 0; c < block.chunks * kChunk; c += kWidth) {
      const int32_t chunk = c / kChunk;
      Factor<Map>* first = place + chunk / block.runChunks * block.runStride +
                           int64_t{chunk % block.runChunks} * kTilePixels * kChunk + c % kChunk;
      const int64_t stride = block.inputStride;
      const auto keep = PLUSX_LAMBDA(int i) {
        Factor<Map>* row = opaque(first + i * Tiling::kProducts * stride);
        return PLUSX_CLOSURE(int j, Vector value) {
          store(row + j * stride, value);
        };
      };
      if (c >= pass.inC) {
        for (int p = 0; p < kPositions<Tiling>; ++p) store(first + p * stride, Vector{});
        continue;
      }
      withTile<Tiling::kInput, Tiling::kAdvance>(
          map, source, c, prologue,
          PLUSX_LAMBDA(const auto& in) { transformInputTile<Tiling>(in, keep); });
    }
    advance(tile, grid);
  });
}

// Where a tile's outputs lie, as far as the map goes.
struct TileOutputs {
  int64_t pixel;  // the first
  int32_t rows, columns;
};

template <typename Tiling, typename Map>
PLUSX_INLINE TileOutputs outputsOf(const WinogradPass<Map>& pass, const TilePosition& tile) {
  constexpr int kTile = Tiling::kOutput;
  const int32_t oh = tile.row * kTile, ow = tile.column * kTile;
  return {(static_cast<int64_t>(tile.n) * pass.outH + oh) * pass.outW + ow,
          pass.outH - oh < kTile ? pass.outH - oh : kTile, pass.outW - ow < kTile ? pass.outW - ow : kTile};
}

// Touches the lines that transformOutputs writes into, where a panel's are the first in them.
template <typename Tiling, typename Map>
PLUSX_INLINE void touchOutputs(const WinogradPass<Map>& pass, const TileGrid& grid, const Block& block,
                               int32_t firstOutput) {
  if (kDirectsCaches || firstOutput % kLine<Map> != 0) return;
  TilePosition tile = tileAt(grid, block.first);
  for (int32_t t = 0; t < block.count; ++t) {
    const TileOutputs outputs = outputsOf<Tiling>(pass, tile);
    for (int32_t i = 0; i < outputs.rows; ++i) {
      const Map* pixel = pass.out + (outputs.pixel + int64_t{i} * pass.outW) * pass.outC + firstOutput;
      for (int32_t j = 0; j < outputs.columns; ++j) touch(pixel + int64_t{j} * pass.outC);
    }
    advance(tile, grid);
  }
}

// Count, mean and squared deviations of one vector of channels, from sums around a pivot: a value
// of the same distribution, so that nothing cancels.
struct Deviations {
  Vector pivot, sum, squares;
  int32_t count;
};

// y = Aᵀ m A of every tile for a panel of output channels: stored with its statistics, or, where
// Inference, behind the epilogue.
template <typename Tiling, bool Inference, typename Map>
void transformOutputs(const WinogradPass<Map>& pass, const TileGrid& grid, const Block& block,
                      const float* products, int32_t firstOutput, Deviations* deviations) {
  constexpr int kTile = Tiling::kOutput;
  const bool streaming = streams<Map>(int64_t{pass.N} * pass.outH * pass.outW, pass.outC);
  const int64_t row = static_cast<int64_t>(pass.outW) * pass.outC;
  TilePosition tile = tileAt(grid, block.first);
  eachTileOf(block, 0, block.groups, PLUSX_LAMBDA(int32_t group, int32_t place) {
    const TileOutputs outputs = outputsOf<Tiling>(pass, tile);
    const int32_t rows = outputs.rows, columns = outputs.columns;
    for (int half = 0; half < 2; ++half) {
      const int32_t k = firstOutput + half * kWidth;
      if (k >= pass.outC) break;
      const int32_t channels = pass.outC - k < kWidth ? pass.outC - k : kWidth;
      const float* from = products + half * kWidth +
                          int64_t{group * kTilePixels + place} * kPanel;
      const int64_t stride = block.productStride;
      const auto product = PLUSX_LAMBDA(int j) {
        const float* column = opaque(from + j * stride);
        return PLUSX_CLOSURE(int i) { return load(column + i * Tiling::kProducts * stride); };
      };
      Deviations& known = deviations[half];
      const bool first = group == 0 && place == 0;
      Vector pivot = first ? Vector{} : known.pivot;
      Vector sum = first ? Vector{} : known.sum, squares = first ? Vector{} : known.squares;
      Map* to = pass.out + outputs.pixel * pass.outC + k;
      const auto keep = PLUSX_LAMBDA(int i, int j, Vector value, int32_t lanes) {
        Map* pixel = to + i * row + static_cast<int64_t>(j) * pass.outC;
        if constexpr (Inference) {
          const Epilogue& epilogue = pass.epilogue;
          const float* residual =
              epilogue.residual ? epilogue.residual + (pixel - pass.out) : nullptr;
          value = epilogueOf(value, epilogue.shift + k, residual, epilogue.relu, lanes);
        } else {
          const Vector deviation = value - pivot;
          sum += deviation;
          squares += deviation * deviation;
        }
        storeMap(pixel, value, lanes, streaming);
      };
      if (rows == kTile && columns == kTile && channels == kWidth) {
        transformOutputTile<Tiling>(product, PLUSX_LAMBDA(int i) {
          return [&, i](int j, Vector value) __attribute__((always_inline)) {
            if (i == 0 && j == 0 && first) pivot = value;
            keep(i, j, value, kWidth);
          };
        });
      } else {
        Vector y[kTile * kTile];
        transformOutputTile<Tiling>(product, PLUSX_LAMBDA(int i) {
          Vector* row = y + i * kTile;
          return PLUSX_CLOSURE(int j, Vector value) { row[j] = value; };
        });
        if (first) pivot = y[0];
        for (int i = 0; i < rows; ++i) {
          for (int j = 0; j < columns; ++j) keep(i, j, y[i * kTile + j], channels);
        }
      }
      known = {pivot, sum, squares, (first ? 0 : known.count) + rows * columns};
    }
    advance(tile, grid);
  });
}

template <typename Map>
void storeDeviations(const WinogradPass<Map>& pass, int32_t index, int32_t k,
                     const Deviations& deviations) {
  const int32_t channels = pass.outC - k < kWidth ? pass.outC - k : kWidth;
  const float count = static_cast<float>(deviations.count);
  const Vector shift = deviations.sum / count;
  const Vector mean = deviations.pivot + shift;
  const Vector squares = deviations.squares - deviations.sum * shift;
  float* to = pass.statistics + static_cast<int64_t>(index) * 3 * pass.outC + k;
  for (int32_t o = 0; o < channels; ++o) {
    to[o] = count;
    to[pass.outC + o] = mean[o];
    to[2 * pass.outC + o] = squares[o];
  }
}

// Keeps a block's statistics of a panel.
template <typename Map>
void storeStatistics(const WinogradPass<Map>& pass, int32_t index, int32_t firstOutput,
                     const Deviations* deviations) {
  for (int half = 0; half < 2; ++half) {
    const int32_t k = firstOutput + half * kWidth;
    if (k < pass.outC) storeDeviations(pass, index, k, deviations[half]);
  }
}

// What the products of one group of tiles fetch of the next weights: all groups together the whole.
template <typename Factor>
PLUSX_INLINE const Factor* partOf(const Factor* weights, int32_t channels, int32_t group) {
  constexpr int32_t kParts = kPanelBytes<Factor> / kAheadBytes<Factor>;
  return weights + group % kParts * (int64_t{channels} * kPanel / kParts);
}

// products(position, tile, lane) = inputs · weights, a panel's, over `channels` input channels, or the
// same added to them; `filterStride` factors lie between two transformed filters. Before each register
// tile ahead() fetches what is needed later; what is needed next is fetched beside its products: inputs that
// lie in runs, which come from all threads' caches, or else weights.
template <typename Tiling, bool Accumulate, typename Factor, typename Ahead>
void multiplyPositions(const Block& block, const Factor* inputs, int32_t channels,
                       const Factor* weights, int64_t filterStride, float* products,
                       const Ahead& ahead) {
  const Product* order = kOrder<Tiling>.list;
  for (int i = 0; i < kPositions<Tiling>; ++i) {
    const Product product = order[i], next = order[i + 1 < kPositions<Tiling> ? i + 1 : 0];
    const Factor* tile = inputs + product.position * block.inputStride;
    const Factor* nextTile = inputs + next.position * block.inputStride;
    const Factor* filter = weights + product.filter * filterStride;
    const Factor* nextFilter = weights + next.filter * filterStride;
    float* to = products + product.position * block.productStride;
    for (int32_t g = 0; g < block.groups; ++g) {
      ahead();
      const void* needed = nullptr;
      if (kDirectsCaches) {
        const Factor* nextInputs = g + 1 < block.groups ? tile + block.groupStride : nextTile;
        needed = block.inRuns() ? nextInputs : partOf(nextFilter, channels, g);
      }
      multiplyRows<Accumulate>(block.tilesOf(g), tile, filter, channels, to, needed);
      tile += block.groupStride;
      to += kTilePixels * kPanel;
    }
  }
}

}  // namespace plusx::PLUSX_ISA
