// Winograd's minimal filtering F(4×4, 3×3) for 3×3 convolutions of stride 1: 36 multiplications for
// 16 outputs of a channel instead of 144.
//
//   y  = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A      d: 6×6 inputs, g: 3×3 weights, y: 4×4 outputs
//   dg = Gᵀ[(Bᵀ d B) ⊙ (A dy Aᵀ)]G     the gradient of the weight, summed over tiles
//
// The element-wise products, summed over channels (or tiles), are 36 independent matrix products.
// A task transforms a block of tiles, multiplies and transforms back while all of it lies in its
// core's cache: nothing of the Winograd domain but the weights ever reaches main memory.
//
// Points 0, ±3/4, ±3/2, ∞: at 64 channels the relative rms error is 5e-7 where 0, ±1, ±2 give 1.2e-6.
//
// Sources: Lavin and Gray 2015, arXiv 1509.09308; Barabasz et al. 2018, arXiv 1803.10986 (the choice
// of points); Zlateski et al. 2019, arXiv 1912.02165 (blocks that stay in the cache).
#pragma once
#include "kernels/conv/conv.h"

namespace plusx::PLUSX_ISA {

constexpr int kTile = 4;        // outputs of a tile along one axis
constexpr int kInputTile = 6;   // inputs of a tile along one axis
constexpr int kPositions = 36;  // kInputTile²
// Input channels whose weights a task transforms at a time (`stagedChannels` of algorithms.ts): with
// the inputs they fill the second-level cache.
constexpr int kStagedChannels = 64;
// Between their positions, a line added as in a pass's blocks.
constexpr int64_t kStagedStride = kStagedChannels * kPanel + kChunk;

// The points ±kA, ±kB, and what the transforms need of them.
constexpr float kA = 0.75f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;


// Each transform reads its vector through `in(i)` and writes it through `out(i, value)`: whole tiles
// never lie in memory twice.

// Bᵀ d: row i holds the coefficients of Π(x - pⱼ), j ≠ i.
template <typename In, typename Out>
PLUSX_INLINE void transformInput(const In& in, const Out& out) {
  const Vector d0 = in(0), d1 = in(1), d2 = in(2), d3 = in(3), d4 = in(4), d5 = in(5);
  const Vector evenA = d4 - kB2 * d2, oddA = d3 - kB2 * d1;
  const Vector evenB = d4 - kA2 * d2, oddB = d3 - kA2 * d1;
  out(0, (d4 - (kA2 + kB2) * d2) + (kA2 * kB2) * d0);
  out(1, evenA + kA * oddA);
  out(2, evenA - kA * oddA);
  out(3, evenB + kB * oddB);
  out(4, evenB - kB * oddB);
  out(5, (d5 - (kA2 + kB2) * d3) + (kA2 * kB2) * d1);
}

// Aᵀ m: row j holds the points' jth powers.
template <typename In, typename Out>
PLUSX_INLINE void transformOutput(const In& in, const Out& out) {
  const Vector m0 = in(0), m1 = in(1), m2 = in(2), m3 = in(3), m4 = in(4), m5 = in(5);
  const Vector sumA = m1 + m2, differenceA = m1 - m2, sumB = m3 + m4, differenceB = m3 - m4;
  out(0, m0 + sumA + sumB);
  out(1, kA * differenceA + kB * differenceB);
  out(2, kA2 * sumA + kB2 * sumB);
  out(3, (m5 + kA3 * differenceA) + kB3 * differenceB);
}

// A dy.
template <typename In, typename Out>
PLUSX_INLINE void transformGradient(const In& in, const Out& out) {
  const Vector d0 = in(0), d1 = in(1), d2 = in(2), d3 = in(3);
  const Vector evenA = d0 + kA2 * d2, oddA = kA * d1 + kA3 * d3;
  const Vector evenB = d0 + kB2 * d2, oddB = kB * d1 + kB3 * d3;
  out(0, d0);
  out(1, evenA + oddA);
  out(2, evenA - oddA);
  out(3, evenB + oddB);
  out(4, evenB - oddB);
  out(5, d3);
}

// G's rows are (1, p, p²)/N with N = Π(p - pⱼ): the reciprocals for 0, ±kA and ±kB.
constexpr float kG0 = 1.0f / (kA2 * kB2);
constexpr float kGa = 1.0f / (2.0f * kA2 * (kA2 - kB2));
constexpr float kGb = 1.0f / (2.0f * kB2 * (kB2 - kA2));

// G g.
template <typename In, typename Out>
PLUSX_INLINE void transformWeight(const In& in, const Out& out) {
  const Vector g0 = in(0), g1 = in(1), g2 = in(2);
  const Vector evenA = g0 + kA2 * g2, evenB = g0 + kB2 * g2;
  out(0, kG0 * g0);
  out(1, kGa * (evenA + kA * g1));
  out(2, kGa * (evenA - kA * g1));
  out(3, kGb * (evenB + kB * g1));
  out(4, kGb * (evenB - kB * g1));
  out(5, g2);
}

// Gᵀ u.
template <typename In, typename Out>
PLUSX_INLINE void transformWeightGradient(const In& in, const Out& out) {
  const Vector u0 = in(0), u1 = in(1), u2 = in(2), u3 = in(3), u4 = in(4), u5 = in(5);
  const Vector sumA = kGa * (u1 + u2), differenceA = kGa * (u1 - u2);
  const Vector sumB = kGb * (u3 + u4), differenceB = kGb * (u3 - u4);
  out(0, kG0 * u0 + (sumA + sumB));
  out(1, kA * differenceA + kB * differenceB);
  out(2, (kA2 * sumA + kB2 * sumB) + u5);
}

// The two halves of T X Tᵀ: Columns columns of X give Half values each, then the rows follow.
// in(row, column); out(row, column, value).
template <int Columns, int Half, typename Transform, typename In, typename Out>
PLUSX_INLINE void transformTwice(const Transform& transform, const In& in, const Out& out) {
  Vector half[Half * Columns];
#pragma GCC unroll 6
  for (int j = 0; j < Columns; ++j) {
    transform(PLUSX_LAMBDA(int i) { return in(i, j); },
              PLUSX_LAMBDA(int i, Vector value) { half[i * Columns + j] = value; });
  }
#pragma GCC unroll 6
  for (int i = 0; i < Half; ++i) {
    transform(PLUSX_LAMBDA(int j) { return half[i * Columns + j]; },
              PLUSX_LAMBDA(int j, Vector value) { out(i, j, value); });
  }
}

template <typename In, typename Out>
PLUSX_INLINE void transformInputTile(const In& in, const Out& out) {
  transformTwice<6, 6>(PLUSX_LAMBDA(const auto& from, const auto& to) { transformInput(from, to); },
                       in, out);
}

template <typename In, typename Out>
PLUSX_INLINE void transformOutputTile(const In& in, const Out& out) {
  transformTwice<6, 4>(PLUSX_LAMBDA(const auto& from, const auto& to) { transformOutput(from, to); },
                       in, out);
}

template <typename In, typename Out>
PLUSX_INLINE void transformGradientTile(const In& in, const Out& out) {
  transformTwice<4, 6>(
      PLUSX_LAMBDA(const auto& from, const auto& to) { transformGradient(from, to); }, in, out);
}

template <typename In, typename Out>
PLUSX_INLINE void transformFilter(const In& in, const Out& out) {
  transformTwice<3, 6>(PLUSX_LAMBDA(const auto& from, const auto& to) { transformWeight(from, to); },
                       in, out);
}

template <typename In, typename Out>
PLUSX_INLINE void transformFilterGradient(const In& in, const Out& out) {
  transformTwice<6, 3>(
      PLUSX_LAMBDA(const auto& from, const auto& to) { transformWeightGradient(from, to); }, in,
      out);
}

// Where a block's tiles lie: tile t covers outputs (4·row, 4·column) of image n.
struct TileGrid {
  int32_t N, rows, columns;
  int32_t count() const { return N * rows * columns; }
};

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
// backward-input with the roles of C and K exchanged and the weights turned by 180°.
struct WinogradPass {
  const float* in;
  int32_t N, inH, inW, inC;
  float* out;
  int32_t outH, outW, outC;
  int32_t padding;
  // (outC/kPanel, 36, inC rounded up to kChunk, kPanel), see packWinograd*.
  const float* weights;
  Prologue prologue;
  // (blocks, 3, outC) or null: count, mean and sum of squared deviations of a block's outputs.
  float* statistics;
  // Tiles a task, and in how many tasks the output channels of a block are cut.
  int32_t blockTiles, channelSplits;
  // As packWeight leaves them; where `weights` is null, a task transforms those that it needs.
  const float* packed = nullptr;
  Epilogue epilogue = {};
};

void runWinograd(const WinogradPass& pass, Pool* pool);

// weight (K,3,3,C) → G g Gᵀ for forward, reduced over C.
void packWinogradForward(const float* weight, int32_t K, int32_t C, float* packed, Pool* pool);
// From weights that packWeight has packed: a panel's, channels first .. first + count, to `staged`
// (36, kStagedChannels, kPanel), a line between positions.
void transformStage(const float* packed, int32_t C, int32_t panel, int32_t first, int32_t count,
                    float* staged);
// The same turned by 180°, reduced over K.
void packWinogradBackward(const float* weight, int32_t K, int32_t C, float* packed, Pool* pool);

// How the sum over tiles is cut: into `partials` ranges of tiles, and the channels into blocks;
// within a range `blockTiles` at a time.
struct WinogradWeightCut {
  int32_t partials, blockTiles, blockC, blockK;
};

// dweight (K,3,3,C) from x and dy. `workspace`: (partials, 36, C, K), both rounded up to blocks.
void runWinogradWeight(const ConvShape& shape, const float* x, const Prologue& prologue,
                       const float* dy, float* dweight, float* workspace,
                       const WinogradWeightCut& cut, Pool* pool);

// An image's channels c .. c + kWidth, as tiles of Edge×Edge pixels are read from it.
struct TileSource {
  const float* image;  // (H, W, C)
  int32_t H, W, C;
  int32_t top, left, c;
};

PLUSX_INLINE Vector activate(Vector value, Vector scale, Vector shift) {
  const Vector mapped = value * scale + shift;
  return mapped <= Vector{} ? Vector{} : mapped;
}

// Calls body(in) with in(row, column) reading the tile, a prologue applied and zero outside the image:
// once with direct loads for a whole tile of kWidth channels, once with a copy for what is cut off.
template <int Edge, typename Body>
PLUSX_INLINE void withTile(const TileSource& s, const Prologue& prologue, const Body& body) {
  const int32_t channels = s.C - s.c < kWidth ? s.C - s.c : kWidth;
  const bool inside = s.top >= 0 && s.left >= 0 && s.top + Edge <= s.H && s.left + Edge <= s.W;
  const int64_t row = static_cast<int64_t>(s.W) * s.C;
  const float* from = s.image + s.top * row + static_cast<int64_t>(s.left) * s.C + s.c;
  if (inside && channels == kWidth) {
    const auto at = PLUSX_LAMBDA(int i, int j) {
      const float* pixel = from + i * row + static_cast<int64_t>(j) * s.C;
      // The next tile's: it comes from main memory.
      if (j >= Edge - kTile) __builtin_prefetch(pixel + kTile * s.C);
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
        const float* pixel = from + i * row + static_cast<int64_t>(j) * s.C;
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
