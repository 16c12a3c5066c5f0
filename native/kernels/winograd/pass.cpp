// A pass over tiles, forward or backward-input, block by block: transform, multiply, transform back.
#include "few-tiles.h"

namespace plusx::PLUSX_ISA {

namespace {

// Before each register tile ahead() fetches what is needed next, where the weights leave it room.
template <typename Tiling, typename Map, typename Ahead>
void multiplyPanel(const WinogradPass<Map>& pass, const Block& block, int32_t panel,
                   const Factor<Map>* inputs, float* staged, float* products, const Ahead& ahead) {
  const int32_t reduction = block.chunks * kChunk;
  if (pass.weights) {
    const int64_t stride = static_cast<int64_t>(reduction) * kPanel;
    const Factor<Map>* weights = pass.weights + panel * kFilters * kFilters * stride;
    return multiplyPositions<Tiling, false>(block, inputs, reduction, weights, stride, products,
                                            ahead);
  }
  if constexpr (kIsFloat<Map>) {
    if (multipliesFewTiles<Tiling>(pass, block)) {
      return multiplyFewTiles(pass, block, panel, inputs, staged, products);
    }
    constexpr int64_t kStride = kStagedStride<kStagedChannels>;
    const auto nothingAhead = PLUSX_LAMBDA() {};
    for (int32_t c = 0; c < reduction; c += kStagedChannels) {
      const int32_t count = reduction - c < kStagedChannels ? reduction - c : kStagedChannels;
      transformStage<Tiling, kStagedChannels>(pass.packed, pass.inC, panel, c, count, staged);
      const float* run = inputs + int64_t{c} * kTilePixels;
      if (c == 0) {
        multiplyPositions<Tiling, false>(block, run, count, staged, kStride, products, nothingAhead);
      } else {
        multiplyPositions<Tiling, true>(block, run, count, staged, kStride, products, nothingAhead);
      }
    }
  }
}

// So many that all of the next block's are fetched while this one is multiplied.
constexpr int kPassLines = 16;

}  // namespace

template <typename Tiling, typename Map>
void runWinograd(const WinogradPass<Map>& pass, Pool* pool) {
  const TileGrid grid = gridOf<Tiling>(pass.N, pass.outH, pass.outW);
  const int32_t tiles = grid.count();
  const int32_t blocks = (tiles + pass.blockTiles - 1) / pass.blockTiles;
  const int32_t panels = (pass.outC + kPanel - 1) / kPanel;
  const TiledMap<Map> map = {pass.in, pass.inH, pass.inW, pass.inC, pass.padding};
  const int32_t perSplit = (panels + pass.channelSplits - 1) / pass.channelSplits;

  parallelFor(pool, blocks * pass.channelSplits, [&](int32_t task, char* scratch) {
    const int32_t index = task / pass.channelSplits;
    const Block block = blockAt<Tiling>(pass, tiles, index, false);
    Factor<Map>* inputs = reinterpret_cast<Factor<Map>*>(scratch);
    float* products = reinterpret_cast<float*>(inputs + inputFactors(block));
    float* staged = products + kPositions<Tiling> * block.productStride;
    const float* end = staged + (pass.weights ? 0 : kFilters * kFilters * kStagedStride<kStagedChannels>);
    if (reinterpret_cast<const char*>(end) - scratch > int64_t{kThreadScratchBytes}) {
      __builtin_trap();
    }

    transformInputs<Tiling, Map>(pass, grid, block, 0, block.groups, inputs);
    // The next block is nearly always this thread's next. (Of bfloat16 the products are too short: they
    // would take longer.)
    const bool fetches = kIsFloat<Map> && pass.channelSplits == 1;
    const int32_t next = fetches ? (index + 1) * pass.blockTiles : tiles;
    const int32_t nextTiles = tiles - next < pass.blockTiles ? tiles - next : pass.blockTiles;
    PixelsAhead<Tiling::kAdvance, kPassLines, Map> pixels(map, grid, next, nextTiles, 0, pass.inC);
    const auto ahead = PLUSX_LAMBDA() { pixels.fetch(); };
    const int32_t firstPanel = task % pass.channelSplits * perSplit;
    const int32_t endPanel = firstPanel + perSplit < panels ? firstPanel + perSplit : panels;
    for (int32_t panel = firstPanel; panel < endPanel; ++panel) {
      touchOutputs<Tiling>(pass, grid, block, panel * kPanel);
      multiplyPanel<Tiling, Map>(pass, block, panel, inputs, staged, products, ahead);
      Deviations deviations[2];
      constexpr bool kInfers = kIsFloat<Map> && Tiling::kForward;
      if (kInfers && pass.epilogue.shift) {
        transformOutputs<Tiling, kInfers>(pass, grid, block, products, panel * kPanel, deviations);
      } else {
        transformOutputs<Tiling, false>(pass, grid, block, products, panel * kPanel, deviations);
      }
      if (pass.statistics) storeStatistics(pass, index, panel * kPanel, deviations);
    }
  });
}

}  // namespace plusx::PLUSX_ISA
