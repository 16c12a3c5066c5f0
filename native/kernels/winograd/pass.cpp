// A pass over tiles, forward or backward-input: transform, multiply, transform back, block by block.
#include "kernels/conv/multiply.h"
#include "winograd.h"

namespace plusx::PLUSX_ISA {

namespace {

struct Block {
  int32_t first, count;  // tiles
  int32_t groups;        // of so many tiles, at most kTilePixels, all alike: each has room for kTilePixels
  int32_t groupTiles;
  int32_t chunks;        // of kChunk input channels
  // Between positions.
  int64_t inputStride, productStride;
};

template <typename Map>
Block blockAt(const WinogradPass<Map>& pass, int32_t tiles, int32_t index) {
  Block block;
  block.first = index * pass.blockTiles;
  const int32_t left = tiles - block.first;
  block.count = left < pass.blockTiles ? left : pass.blockTiles;
  block.groups = (block.count + kTilePixels - 1) / kTilePixels;
  block.groupTiles = (block.count + block.groups - 1) / block.groups;
  block.chunks = (pass.inC + kChunk - 1) / kChunk;
  block.inputStride =
      static_cast<int64_t>(block.groups) * block.chunks * kTilePixels * kChunk + kLine<Factor<Map>>;
  block.productStride = static_cast<int64_t>(block.groups) * kTilePixels * kPanel + kLine<float>;
  return block;
}

// inputs(position, group, chunk, tile in group, 16) = Bᵀ d B of every tile of the block.
template <typename Tiling, typename Map>
void transformInputs(const WinogradPass<Map>& pass, const TileGrid& grid, const Block& block,
                     Factor<Map>* inputs) {
  const TiledMap<Map> map = {pass.in, pass.inH, pass.inW, pass.inC, pass.padding};
  // Only what goes forward has a prologue: the compiler is to know.
  const Prologue prologue = Tiling::kForward ? pass.prologue : Prologue{};
  TilePosition tile = tileAt(grid, block.first);
  for (int32_t t = 0; t < block.count; ++t, advance(tile, grid)) {
    Factor<Map>* to =
        inputs + static_cast<int64_t>(t / block.groupTiles) * block.chunks * kTilePixels * kChunk +
        t % block.groupTiles * kChunk;
    const auto source = tileOf<Tiling::kInput, Tiling::kAdvance>(map, grid, tile);
    for (int32_t c = 0; c < block.chunks * kChunk; c += kWidth) {
      Factor<Map>* chunk = to + static_cast<int64_t>(c / kChunk) * kTilePixels * kChunk + c % kChunk;
      const int64_t stride = block.inputStride;
      const auto keep = PLUSX_LAMBDA(int i) {
        Factor<Map>* row = opaque(chunk + i * Tiling::kProducts * stride);
        return PLUSX_CLOSURE(int j, Vector value) {
          store(row + j * stride, value);
        };
      };
      if (c >= pass.inC) {
        for (int p = 0; p < kPositions<Tiling>; ++p) store(chunk + p * stride, Vector{});
        continue;
      }
      withTile<Tiling::kInput, Tiling::kAdvance>(
          map, source, c, prologue,
          PLUSX_LAMBDA(const auto& in) { transformInputTile<Tiling>(in, keep); });
    }
  }
}

// Count, mean and squared deviations of one vector of channels, from sums around a pivot: a value
// of the same distribution, so that nothing cancels.
struct Deviations {
  Vector pivot, sum, squares;
  int32_t count;
};

// y = Aᵀ m A of every tile for a panel of output channels: stored with its statistics, or, where
// Inference, behind the epilogue. Both vectors of a pixel are stored before the next one's: main memory
// takes neighbours faster.
template <typename Tiling, bool Inference, typename Map>
void transformOutputs(const WinogradPass<Map>& pass, const TileGrid& grid, const Block& block,
                      const float* products, int32_t firstOutput, Deviations* deviations) {
  constexpr int kTile = Tiling::kOutput;
  const bool streaming = streams<Map>(int64_t{pass.N} * pass.outH * pass.outW, pass.outC);
  const int64_t row = static_cast<int64_t>(pass.outW) * pass.outC;
  TilePosition tile = tileAt(grid, block.first);
  for (int32_t t = 0; t < block.count; ++t, advance(tile, grid)) {
    const int32_t oh = tile.row * kTile, ow = tile.column * kTile;
    const int32_t rows = pass.outH - oh < kTile ? pass.outH - oh : kTile;
    const int32_t columns = pass.outW - ow < kTile ? pass.outW - ow : kTile;
    const int64_t pixels = (static_cast<int64_t>(tile.n) * pass.outH + oh) * pass.outW + ow;
    for (int half = 0; half < 2; ++half) {
      const int32_t k = firstOutput + half * kWidth;
      if (k >= pass.outC) break;
      const int32_t channels = pass.outC - k < kWidth ? pass.outC - k : kWidth;
      const float* from = products + half * kWidth +
                          int64_t{t / block.groupTiles * kTilePixels + t % block.groupTiles} * kPanel;
      const int64_t stride = block.productStride;
      Vector y[kTile * kTile];
      transformOutputTile<Tiling>(
          PLUSX_LAMBDA(int j) {
            const float* column = opaque(from + j * stride);
            return PLUSX_CLOSURE(int i) { return load(column + i * Tiling::kProducts * stride); };
          },
          PLUSX_LAMBDA(int i) {
            Vector* row = y + i * kTile;
            return PLUSX_CLOSURE(int j, Vector value) { row[j] = value; };
          });

      Deviations& known = deviations[half];
      if (t == 0) known = {y[0], Vector{}, Vector{}, 0};
      known.count += rows * columns;
      Vector sum = known.sum, squares = known.squares;
      Map* to = pass.out + pixels * pass.outC + k;
      const auto keep = PLUSX_LAMBDA(int i, int j, int32_t lanes) {
        Vector value = y[i * kTile + j];
        Map* pixel = to + i * row + static_cast<int64_t>(j) * pass.outC;
        if constexpr (Inference) {
          const Epilogue& epilogue = pass.epilogue;
          const float* residual =
              epilogue.residual ? epilogue.residual + (pixel - pass.out) : nullptr;
          value = epilogueOf(value, epilogue.shift + k, residual, epilogue.relu, lanes);
        } else {
          const Vector deviation = value - known.pivot;
          sum += deviation;
          squares += deviation * deviation;
        }
        storeMap(pixel, value, lanes, streaming);
      };
      if (rows == kTile && columns == kTile && channels == kWidth) {
#pragma GCC unroll 8
        for (int i = 0; i < kTile; ++i) {
#pragma GCC unroll 8
          for (int j = 0; j < kTile; ++j) keep(i, j, kWidth);
        }
      } else {
        for (int i = 0; i < rows; ++i) {
          for (int j = 0; j < columns; ++j) keep(i, j, channels);
        }
      }
      known.sum = sum;
      known.squares = squares;
    }
  }
}

template <typename Map>
void storeDeviations(const WinogradPass<Map>& pass, int32_t index, int32_t k, const Deviations& deviations) {
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

// products(position, tile, lane) = inputs · weights, a panel's, over `channels` input channels from
// `first` on; `filterStride` factors lie between two transformed filters.
template <typename Tiling, bool Accumulate, typename Factor>
void multiplyPositions(const Block& block, const Factor* inputs, int32_t first, int32_t channels,
                       const Factor* weights, int64_t filterStride, float* products) {
  const int64_t groupFactors = static_cast<int64_t>(block.chunks) * kChunk * kTilePixels;
  for (const Product& product : kOrder<Tiling>.list) {
    const Factor* tile = inputs + product.position * block.inputStride +
                        static_cast<int64_t>(first) * kTilePixels;
    const Factor* filter = weights + product.filter * filterStride;
    float* to = products + product.position * block.productStride;
    for (int32_t g = 0; g < block.groups; ++g) {
      const int32_t left = block.count - g * block.groupTiles;
      multiplyRows<Accumulate>(left < block.groupTiles ? left : block.groupTiles, tile, filter,
                               channels, to);
      tile += groupFactors;
      to += kTilePixels * kPanel;
    }
  }
}

template <typename Tiling, typename Map>
void multiplyPanel(const WinogradPass<Map>& pass, const Block& block, int32_t panel,
                   const Factor<Map>* inputs, float* staged, float* products) {
  const int32_t reduction = block.chunks * kChunk;
  if (pass.weights) {
    const int64_t stride = static_cast<int64_t>(reduction) * kPanel;
    const Factor<Map>* weights = pass.weights + panel * kFilters * kFilters * stride;
    return multiplyPositions<Tiling, false>(block, inputs, 0, reduction, weights, stride, products);
  }
  if constexpr (kIsFloat<Map>) {
    for (int32_t c = 0; c < reduction; c += kStagedChannels) {
      const int32_t count = reduction - c < kStagedChannels ? reduction - c : kStagedChannels;
      transformStage<Tiling>(pass.packed, pass.inC, panel, c, count, staged);
      const auto multiply =
          c == 0 ? multiplyPositions<Tiling, false, float> : multiplyPositions<Tiling, true, float>;
      multiply(block, inputs, c, count, staged, kStagedStride, products);
    }
  }
}

}  // namespace

template <typename Tiling, typename Map>
void runWinograd(const WinogradPass<Map>& pass, Pool* pool) {
  const TileGrid grid = gridOf<Tiling>(pass.N, pass.outH, pass.outW);
  const int32_t tiles = grid.count();
  const int32_t blocks = (tiles + pass.blockTiles - 1) / pass.blockTiles;
  const int32_t panels = (pass.outC + kPanel - 1) / kPanel;
  const int32_t perSplit = (panels + pass.channelSplits - 1) / pass.channelSplits;

  parallelFor(pool, blocks * pass.channelSplits, [&](int32_t task, char* scratch) {
    const int32_t index = task / pass.channelSplits;
    const Block block = blockAt(pass, tiles, index);
    Factor<Map>* inputs = reinterpret_cast<Factor<Map>*>(scratch);
    float* products = reinterpret_cast<float*>(inputs + kPositions<Tiling> * block.inputStride);
    float* staged = products + kPositions<Tiling> * block.productStride;
    const float* end = staged + (pass.weights ? 0 : kFilters * kFilters * kStagedStride);
    if (reinterpret_cast<const char*>(end) - scratch > int64_t{kThreadScratchBytes}) {
      __builtin_trap();
    }

    transformInputs<Tiling, Map>(pass, grid, block, inputs);
    const int32_t firstPanel = task % pass.channelSplits * perSplit;
    const int32_t endPanel = firstPanel + perSplit < panels ? firstPanel + perSplit : panels;
    for (int32_t panel = firstPanel; panel < endPanel; ++panel) {
      multiplyPanel<Tiling, Map>(pass, block, panel, inputs, staged, products);
      Deviations deviations[2];
      constexpr bool kInfers = kIsFloat<Map> && Tiling::kForward;
      if (kInfers && pass.epilogue.shift) {
        transformOutputs<Tiling, kInfers>(pass, grid, block, products, panel * kPanel, deviations);
      } else {
        transformOutputs<Tiling, false>(pass, grid, block, products, panel * kPanel, deviations);
      }
      if (!pass.statistics) continue;
      for (int half = 0; half < 2; ++half) {
        const int32_t k = panel * kPanel + half * kWidth;
        if (k < pass.outC) storeDeviations(pass, index, k, deviations[half]);
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
