// Two-dimensional convolution and its gradients as implicit matrix products (NHWC).
//
//   conv2d:               y(p, k)         = Σ_{r,s,c} x(p@r,s, c) weight(k, r, s, c)
//   conv2dInference:      y(p, k)         = the same + shift(k) + residual(p, k), relu or not
//   conv2dBackwardInput:  dx(q, c)        = Σ_{r,s,k} dy(q@r,s, k) weight(k, r, s, c) (+ other(q, c))
//   conv2dBackwardWeight: dweight(k,r,s,c) = Σ_p dy(p, k) x(p@r,s, c)
//
// p runs over output pixels; p@r,s is the input pixel under tap (r, s), zero outside the image.
// Source for the register tiling: Goto and van de Geijn 2008, Anatomy of High-Performance Matrix
// Multiplication; for packing only the broadcast side by 16 channels: see gather.h.
#pragma once
#include "executor/program.h"
#include "simd/streaming.h"

namespace plusx::PLUSX_ISA {

// Output channels in a register tile: two vectors.
constexpr int kPanel = 2 * kWidth;

// Pixels in a register tile, and how many of them may exist alone: with AVX-512, 28 of 32 registers
// accumulate; with 16 registers, 12. V8 has 15: where it cannot fuse a product with its sum, the product takes
// another one.
#if PLUSX_VECTOR_WIDTH == 16
constexpr int kTilePixels = 14;
using TileRows = std::integer_sequence<int, 4, 8, kTilePixels>;
#elif defined(__wasm__) && !defined(__wasm_relaxed_simd__)
constexpr int kTilePixels = 5;
using TileRows = std::integer_sequence<int, 2, 4, kTilePixels>;
#else
constexpr int kTilePixels = 6;
using TileRows = std::integer_sequence<int, 2, 4, 5, kTilePixels>;
#endif

// The packed side advances by 16 channels at a time on every instruction set.
constexpr int kChunk = 16;

struct ConvShape {
  int32_t N, H, W, C, K, R, S, OH, OW, stride, padding, groups;
};

enum class ConvAlgorithm : int32_t { gemm, winograd, grouped };

// What the plan decided: see ConvCut in src/plan/plan.ts.
struct ConvChoice {
  ConvAlgorithm algorithm;
  int32_t partials, blockTiles, blockChannels, splits;
};

// What happens to an output as it is stored: sum + shift + residual, then relu.
struct Epilogue {
  const float* shift = nullptr;     // (K); null: the sum is stored as it is, and nothing else is read
  const float* residual = nullptr;  // laid out as the output, may be its memory; or null
  bool relu = false;
};

// `shift` and `residual` point at what belongs to this vector.
PLUSX_INLINE Vector epilogueOf(Vector sum, const float* shift, const float* residual, bool relu,
                           int32_t lanes) {
  sum += loadLanes(shift, lanes);
  if (residual) sum += loadLanes(residual, lanes);
  if (!relu) return sum;
  return sum <= Vector{} ? Vector{} : sum;
}

ConvShape readShape(Arguments& arguments);
ConvChoice readChoice(Arguments& arguments);

template <typename Map>
void conv2d(Arguments arguments, Pool* pool);
void packWeight(Arguments arguments, Pool* pool);
void conv2dInference(Arguments arguments, Pool* pool);
template <typename Map>
void conv2dBackwardInput(Arguments arguments, Pool* pool);
template <typename Map>
void conv2dBackwardWeight(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
