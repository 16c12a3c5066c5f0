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

// The points ±kA, ±kB, and what the transforms need of them.
constexpr float kA = 0.75f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;

#define PLUSX_INLINE __attribute__((always_inline)) static inline

// out = Bᵀ d: row i holds the coefficients of Π(x - pⱼ), j ≠ i; strides in vectors.
template <int InStride, int OutStride>
PLUSX_INLINE void transformInput(const Vector* d, Vector* out) {
  const Vector d0 = d[0], d1 = d[InStride], d2 = d[2 * InStride], d3 = d[3 * InStride],
               d4 = d[4 * InStride], d5 = d[5 * InStride];
  const Vector evenA = d4 - kB2 * d2, oddA = d3 - kB2 * d1;
  const Vector evenB = d4 - kA2 * d2, oddB = d3 - kA2 * d1;
  out[0] = (d4 - (kA2 + kB2) * d2) + (kA2 * kB2) * d0;
  out[OutStride] = evenA + kA * oddA;
  out[2 * OutStride] = evenA - kA * oddA;
  out[3 * OutStride] = evenB + kB * oddB;
  out[4 * OutStride] = evenB - kB * oddB;
  out[5 * OutStride] = (d5 - (kA2 + kB2) * d3) + (kA2 * kB2) * d1;
}

// out = Aᵀ m: row j holds the points' jth powers.
template <int InStride, int OutStride>
PLUSX_INLINE void transformOutput(const Vector* m, Vector* out) {
  const Vector m0 = m[0], m1 = m[InStride], m2 = m[2 * InStride], m3 = m[3 * InStride],
               m4 = m[4 * InStride], m5 = m[5 * InStride];
  const Vector sumA = m1 + m2, differenceA = m1 - m2, sumB = m3 + m4, differenceB = m3 - m4;
  out[0] = m0 + sumA + sumB;
  out[OutStride] = kA * differenceA + kB * differenceB;
  out[2 * OutStride] = kA2 * sumA + kB2 * sumB;
  out[3 * OutStride] = (m5 + kA3 * differenceA) + kB3 * differenceB;
}

// out = A dy.
template <int InStride, int OutStride>
PLUSX_INLINE void transformGradient(const Vector* dy, Vector* out) {
  const Vector d0 = dy[0], d1 = dy[InStride], d2 = dy[2 * InStride], d3 = dy[3 * InStride];
  const Vector evenA = d0 + kA2 * d2, oddA = kA * d1 + kA3 * d3;
  const Vector evenB = d0 + kB2 * d2, oddB = kB * d1 + kB3 * d3;
  out[0] = d0;
  out[OutStride] = evenA + oddA;
  out[2 * OutStride] = evenA - oddA;
  out[3 * OutStride] = evenB + oddB;
  out[4 * OutStride] = evenB - oddB;
  out[5 * OutStride] = d3;
}

// G's rows are (1, p, p²)/N with N = Π(p - pⱼ): the reciprocals for 0, ±kA and ±kB.
constexpr float kG0 = 1.0f / (kA2 * kB2);
constexpr float kGa = 1.0f / (2.0f * kA2 * (kA2 - kB2));
constexpr float kGb = 1.0f / (2.0f * kB2 * (kB2 - kA2));

// out = G g.
template <int InStride, int OutStride>
PLUSX_INLINE void transformWeight(const Vector* g, Vector* out) {
  const Vector g0 = g[0], g1 = g[InStride], g2 = g[2 * InStride];
  const Vector evenA = g0 + kA2 * g2, evenB = g0 + kB2 * g2;
  out[0] = kG0 * g0;
  out[OutStride] = kGa * (evenA + kA * g1);
  out[2 * OutStride] = kGa * (evenA - kA * g1);
  out[3 * OutStride] = kGb * (evenB + kB * g1);
  out[4 * OutStride] = kGb * (evenB - kB * g1);
  out[5 * OutStride] = g2;
}

// out = Gᵀ u.
template <int InStride, int OutStride>
PLUSX_INLINE void transformWeightGradient(const Vector* u, Vector* out) {
  const Vector u0 = u[0], u1 = u[InStride], u2 = u[2 * InStride], u3 = u[3 * InStride],
               u4 = u[4 * InStride], u5 = u[5 * InStride];
  const Vector sumA = kGa * (u1 + u2), differenceA = kGa * (u1 - u2);
  const Vector sumB = kGb * (u3 + u4), differenceB = kGb * (u3 - u4);
  out[0] = kG0 * u0 + (sumA + sumB);
  out[OutStride] = kA * differenceA + kB * differenceB;
  out[2 * OutStride] = (kA2 * sumA + kB2 * sumB) + u5;
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
};

void runWinograd(const WinogradPass& pass, Pool* pool);

// weight (K,3,3,C) → G g Gᵀ for forward, reduced over C.
void packWinogradForward(const float* weight, int32_t K, int32_t C, float* packed, Pool* pool);
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

// The 6×6 (or Edge×Edge) values around `from`, of kWidth channels of which `channels` exist.
template <int Edge>
PLUSX_INLINE void loadTile(const float* image, int32_t H, int32_t W, int32_t C, int32_t top,
                           int32_t left, int32_t c, const Prologue& prologue, Vector* d) {
  const int32_t channels = C - c < kWidth ? C - c : kWidth;
  Vector scale = {}, shift = {};
  if (prologue.scale) {
    if (channels == kWidth) {
      scale = load(prologue.scale + c);
      shift = load(prologue.shift + c);
    } else {
      for (int32_t i = 0; i < channels; ++i) {
        scale[i] = prologue.scale[c + i];
        shift[i] = prologue.shift[c + i];
      }
    }
  }
  const bool inside = top >= 0 && left >= 0 && top + Edge <= H && left + Edge <= W;
  if (inside && channels == kWidth) {
    const float* from = image + (static_cast<int64_t>(top) * W + left) * C + c;
    for (int i = 0; i < Edge; ++i, from += static_cast<int64_t>(W) * C) {
      const float* column = from;
      for (int j = 0; j < Edge; ++j, column += C) {
        d[i * Edge + j] = load(column);
        // The next tile's: it comes from main memory.
        if (j >= Edge - kTile) __builtin_prefetch(column + kTile * C);
      }
    }
    if (prologue.scale) {
      for (int i = 0; i < Edge * Edge; ++i) {
        const Vector value = d[i] * scale + shift;
        d[i] = value <= Vector{} ? Vector{} : value;
      }
    }
    return;
  }
  for (int i = 0; i < Edge; ++i) {
    for (int j = 0; j < Edge; ++j) {
      Vector value = {};
      const int32_t h = top + i, w = left + j;
      if (h >= 0 && w >= 0 && h < H && w < W) {
        const float* from = image + (static_cast<int64_t>(h) * W + w) * C + c;
        if (channels == kWidth) {
          value = load(from);
        } else {
          for (int32_t k = 0; k < channels; ++k) value[k] = from[k];
        }
        if (prologue.scale) {
          value = value * scale + shift;
          value = value <= Vector{} ? Vector{} : value;
        }
      }
      d[i * Edge + j] = value;
    }
  }
}

}  // namespace plusx::PLUSX_ISA
