// Winograd's minimal filtering for 3×3 convolutions of stride 1 and 2, on tiles of 4×4 outputs: 36 or
// 81 multiplications of a channel instead of 144.
//
//   y  = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A      d: inputs, g: 3×3 weights, y: 4×4 outputs
//   dg = Gᵀ[(Bᵀ d B) ⊙ (A dy Aᵀ)]G     the gradient of the weight, summed over tiles
//
// The element-wise products, summed over channels (or tiles), are independent matrix products: one
// for each of 36 transformed filters. A task transforms a block of tiles, multiplies and transforms
// back while all of it lies in its core's cache: nothing of the Winograd domain but the weights ever
// reaches main memory. What differs between the strides is in transforms.h.
//
// Sources: Lavin and Gray 2015, arXiv 1509.09308; Zlateski et al. 2019, arXiv 1912.02165 (blocks that
// stay in the cache).
#pragma once
#include "kernels/conv/conv.h"
#include "transforms.h"

namespace plusx::PLUSX_ISA {

// Input channels whose weights a task transforms at a time (`stagedChannels` of algorithms.ts): with
// the inputs they fill the second-level cache.
constexpr int kStagedChannels = 64;
// Between their filters, a line added as in a pass's blocks.
constexpr int64_t kStagedStride = kStagedChannels * kPanel + kChunk;

// Factors of a cache line, which is added between the positions of what is transformed: so that the
// streams of stores do not fall into one set of the cache.
template <typename Factor>
constexpr int64_t kLine = 64 / sizeof(Factor);

// Where a block's tiles lie: tile t covers outputs kOutput·(row, column) of image n.
struct TileGrid {
  int32_t N, rows, columns;
  int32_t count() const { return N * rows * columns; }
};

template <typename Tiling>
PLUSX_INLINE TileGrid gridOf(int32_t N, int32_t height, int32_t width) {
  constexpr int kTile = Tiling::kOutput;
  return {N, (height + kTile - 1) / kTile, (width + kTile - 1) / kTile};
}

struct TilePosition {
  int32_t n, row, column;
};

PLUSX_INLINE TilePosition tileAt(const TileGrid& grid, int32_t t) {
  const int32_t inImage = t % (grid.rows * grid.columns);
  return {t / (grid.rows * grid.columns), inImage / grid.columns, inImage % grid.columns};
}

PLUSX_INLINE void advance(TilePosition& tile, const TileGrid& grid) {
  if (++tile.column < grid.columns) return;
  tile.column = 0;
  if (++tile.row < grid.rows) return;
  tile.row = 0;
  ++tile.n;
}

// What happens to an input as it is loaded.
struct Prologue {
  // (C) each or null: relu(x·scale + shift); what lies outside the image stays zero.
  const float* scale;
  const float* shift;
};

// One pass that reads (N, inH, inW, inC) and writes (N, outH, outW, outC): forward, or
// backward-input with the roles of C and K exchanged and the weights turned by 180°. The first tile
// begins `padding` before the first input.
template <typename Map>
struct WinogradPass {
  const Map* in;
  int32_t N, inH, inW, inC;
  Map* out;
  int32_t outH, outW, outC;
  int32_t padding;
  // (outC/kPanel, 36, inC rounded up to kChunk, kPanel), see packWinograd*.
  const Factor<Map>* weights;
  Prologue prologue;
  // (blocks, 3, outC) or null: count, mean and sum of squared deviations of a block's outputs.
  float* statistics;
  // Tiles a task, and in how many tasks the output channels of a block are cut.
  int32_t blockTiles, channelSplits;
  // As packWeight leaves them; where `weights` is null, a task transforms those that it needs.
  const float* packed = nullptr;
  Epilogue epilogue = {};
};

template <typename Tiling, typename Map>
void runWinograd(const WinogradPass<Map>& pass, Pool* pool);

// weight (K,3,3,C) → G g Gᵀ for forward, reduced over C.
template <typename Tiling, typename Factor>
void packWinogradForward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool);
// From weights that packWeight has packed: a panel's, channels first .. first + count, to `staged`
// (36, kStagedChannels, kPanel), a line between filters.
template <typename Tiling>
void transformStage(const float* packed, int32_t C, int32_t panel, int32_t first, int32_t count,
                    float* staged);
// The same turned by 180°, reduced over K.
template <typename Tiling, typename Factor>
void packWinogradBackward(const float* weight, int32_t K, int32_t C, Factor* packed, Pool* pool);

// How the sum over tiles is cut: into `partials` ranges of tiles, and the channels into blocks;
// within a range `blockTiles` at a time.
struct WinogradWeightCut {
  int32_t partials, blockTiles, blockC, blockK;
};

// dweight (K,3,3,C) from x and dy. `workspace`: (partials, 36, C, K), both rounded up to blocks.
template <typename Tiling, typename Map>
void runWinogradWeight(const ConvShape& shape, const Map* x, const Prologue& prologue,
                       const Map* dy, float* dweight, float* workspace,
                       const WinogradWeightCut& cut, Pool* pool);

// An image's channels c .. c + kWidth, as tiles of Edge×Edge pixels are read from it, Advance pixels apart.
template <typename Map>
struct TileSource {
  const Map* image;  // (H, W, C)
  int32_t H, W, C;
  int32_t top, left, c;
};

PLUSX_INLINE Vector activate(Vector value, Vector scale, Vector shift) {
  const Vector mapped = value * scale + shift;
  return mapped <= Vector{} ? Vector{} : mapped;
}

// Calls body(in) with in(row, column) reading the tile, a prologue applied and zero outside the image:
// once with direct loads for a whole tile of kWidth channels, once with a copy for what is cut off.
template <int Edge, int Advance, typename Map, typename Body>
PLUSX_INLINE void withTile(const TileSource<Map>& s, const Prologue& prologue, const Body& body) {
  const int32_t channels = s.C - s.c < kWidth ? s.C - s.c : kWidth;
  const bool inside = s.top >= 0 && s.left >= 0 && s.top + Edge <= s.H && s.left + Edge <= s.W;
  const int64_t row = static_cast<int64_t>(s.W) * s.C;
  const Map* from = s.image + s.top * row + static_cast<int64_t>(s.left) * s.C + s.c;
  if (inside && channels == kWidth) {
    const auto at = PLUSX_LAMBDA(int i, int j) {
      const Map* pixel = from + i * row + static_cast<int64_t>(j) * s.C;
      // The next tile's comes from main memory, into the second-level cache: the first cannot wait
      // for so many lines at a time.
      if (j >= Edge - Advance) __builtin_prefetch(pixel + Advance * s.C, 0, 2);
      return load(pixel);
    };
    if (!prologue.scale) return body(at);
    const Vector scale = load(prologue.scale + s.c), shift = load(prologue.shift + s.c);
    return body(PLUSX_LAMBDA(int i, int j) { return activate(at(i, j), scale, shift); });
  }
  Vector copy[Edge * Edge];
  for (int i = 0; i < Edge; ++i) {
    for (int j = 0; j < Edge; ++j) {
      const int32_t h = s.top + i, w = s.left + j;
      Vector value = {};
      if (h >= 0 && w >= 0 && h < s.H && w < s.W) {
        const Map* pixel = from + i * row + static_cast<int64_t>(j) * s.C;
        value = loadLanes(pixel, channels);
        if (prologue.scale) {
          value = activate(value, loadLanes(prologue.scale + s.c, channels),
                           loadLanes(prologue.shift + s.c, channels));
        }
      }
      copy[i * Edge + j] = value;
    }
  }
  body(PLUSX_LAMBDA(int i, int j) { return copy[i * Edge + j]; });
}

}  // namespace plusx::PLUSX_ISA
