// A pass over few tiles, forward or backward-input, panel by panel of its output channels.
//
// The weights are four times as large once they are transformed, and with few tiles most of a pass goes
// by writing and reading that. Here it is the inputs that are transformed beforehand; a task transforms
// its panel's weights, so many channels at a time, and multiplies all tiles with them while they lie in
// its core's cache, beside the products that it sums.
#include "blocks.h"

namespace plusx::PLUSX_ISA {

namespace {

// Lines of a panel's weights that are transformed next, fetched a few at a time while products are
// computed.
class WeightsAhead {
 public:
  // Those of `count` steps of the reduction, from `first` on; none behind the last.
  WeightsAhead(const StagedWeights& staged, int32_t panel, int32_t first, int32_t count) {
    const int32_t output = panel * kPanel, outputs = staged.backward ? staged.C : staged.K;
    const int32_t lanes = outputs - output < kPanel ? outputs - output : kPanel;
    const int32_t k = staged.backward ? first : output, c = staged.backward ? output : first;
    rows_ = count > 0 ? 9 * (staged.backward ? count : lanes) : 0;
    bytes_ = static_cast<int32_t>(sizeof(float)) * (staged.backward ? lanes : count);
    stride_ = int64_t{sizeof(float)} * staged.C;
    row_ = reinterpret_cast<const char*>(staged.weight + int64_t{k} * 9 * staged.C + c);
  }

  void fetch() {
    if (!kDirectsCaches) return;
    for (int i = 0; i < kLines && rows_ > 0; ++i) {
      __builtin_prefetch(row_ + done_, 0, 2);
      if ((done_ += 64) < bytes_) continue;
      done_ = 0;
      row_ += stride_;
      --rows_;
    }
  }

 private:
  static constexpr int kLines = 4;

  const char* row_;
  int64_t stride_;
  int32_t rows_, bytes_, done_ = 0;
};

}  // namespace

template <typename Tiling, typename Map>
void runWinogradPanels(const WinogradPass<Map>& pass, const StagedWeights& weights,
                       Factor<Map>* inputs, Pool* pool) {
  constexpr int64_t kStride = kStagedStride<kStagedChannels>;
  const TileGrid grid = gridOf<Tiling>(pass.N, pass.outH, pass.outW);
  const int32_t tiles = grid.count();
  const int32_t blocks = (tiles + pass.blockTiles - 1) / pass.blockTiles;
  const int32_t panels = (pass.outC + kPanel - 1) / kPanel;
  const auto blockOf = PLUSX_LAMBDA(int32_t index) {
    return blockAt<Tiling>(pass, tiles, index, true);
  };
  const Block largest = blockOf(0);
  const int64_t blockInputs = inputFactors(largest);
  const int64_t blockProducts = kPositions<Tiling> * largest.productStride;
  const int32_t reduction = largest.chunks * kChunk;

  parallelFor(pool, blocks * largest.groups, [&](int32_t task, char*) {
    const int32_t index = task / largest.groups;
    const Block block = blockOf(index);
    const int32_t group = task % largest.groups;
    if (group >= block.groups) return;
    transformInputs<Tiling, Map>(pass, grid, block, group, group + 1, inputs + index * blockInputs);
  });

  parallelFor(pool, panels, [&](int32_t panel, char* scratch) {
    float* products = reinterpret_cast<float*>(scratch);
    float* room = products + blocks * blockProducts;
    Factor<Map>* staged = reinterpret_cast<Factor<Map>*>(room + kChunkTaps);
    const Factor<Map>* end = staged + kFilters * kFilters * kStride;
    if (reinterpret_cast<const char*>(end) - scratch > int64_t{kThreadScratchBytes}) {
      __builtin_trap();
    }

    for (int32_t c = 0; c < reduction; c += kStagedChannels) {
      const auto stepsFrom = PLUSX_LAMBDA(int32_t first) {
        const int32_t left = reduction - first;
        return left < kStagedChannels ? left : kStagedChannels;
      };
      const int32_t next = c + kStagedChannels;
      stageWeights<Tiling>(weights, panel, c, stepsFrom(c), room, staged);
      WeightsAhead ahead(weights, panel, next, stepsFrom(next));
      const auto fetch = PLUSX_LAMBDA() { ahead.fetch(); };
      for (int32_t index = 0; index < blocks; ++index) {
        const Block block = blockOf(index);
        const Factor<Map>* run =
            inputs + index * blockInputs + c / kStagedChannels * block.runStride;
        float* to = products + index * blockProducts;
        if (c == 0) {
          multiplyPositions<Tiling, false>(block, run, stepsFrom(c), staged, kStride, to, fetch);
        } else {
          multiplyPositions<Tiling, true>(block, run, stepsFrom(c), staged, kStride, to, fetch);
        }
      }
    }
    for (int32_t index = 0; index < blocks; ++index) {
      Deviations deviations[2];
      transformOutputs<Tiling, false>(pass, grid, blockOf(index), products + index * blockProducts,
                                      panel * kPanel, deviations);
      if (pass.statistics) storeStatistics(pass, index, panel * kPanel, deviations);
    }
  });
}

}  // namespace plusx::PLUSX_ISA
