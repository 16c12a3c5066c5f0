// Minimal filtering along one axis: the transforms, and the three tilings that are made of them.
//
// F(4,3) computes 4 outputs of a 3-tap filter from 6 inputs with 6 multiplications, evaluating
// polynomials at 0, ±3/4, ±3/2 and ∞. Without ∞ it is F(4,2): 5 multiplications, 2 taps.
//
// A 3-tap filter of stride 2 reads its inputs in two phases: taps 0 and 2 meet every second input,
// which is F(4,2), tap 1 meets those in between, which is a plain product. That makes 9
// multiplications for 4 outputs instead of 12, with the same rounding errors or less.
//
// At 64 channels F(4,3) nested has a relative rms error of 5e-7 where points 0, ±1, ±2 give 1.2e-6.
//
// Sources: Lavin and Gray 2015, arXiv 1509.09308; Barabasz et al. 2018, arXiv 1803.10986 (the choice
// of points); Pan and Chen 2020, arXiv 2002.00552 (strides taken apart into phases).
#pragma once
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

// The points ±kA, ±kB, and what the transforms need of them.
constexpr float kA = 0.75f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;

// A tiling's transforms read their vector through `in(i)`, once, and write it through `out(i, value)`:
// whole tiles never lie in memory twice.

// Bᵀ d at the finite points: row i holds the coefficients of Π(x - pⱼ), j ≠ i.
template <typename Out>
PLUSX_INLINE void transformInput(Vector d0, Vector d1, Vector d2, Vector d3, Vector d4,
                                 const Out& out) {
  const Vector evenA = d4 - kB2 * d2, oddA = kA * d3 - (kA * kB2) * d1;
  const Vector evenB = d4 - kA2 * d2, oddB = kB * d3 - (kB * kA2) * d1;
  out(0, (d4 - (kA2 + kB2) * d2) + (kA2 * kB2) * d0);
  out(1, evenA + oddA);
  out(2, evenA - oddA);
  out(3, evenB + oddB);
  out(4, evenB - oddB);
}

// Aᵀ m at the finite points, plus rest(i): row j holds the points' jth powers.
template <typename In, typename Rest, typename Out>
PLUSX_INLINE void transformOutput(const In& in, const Rest& rest, const Out& out) {
  const Vector m0 = in(0), m1 = in(1), m2 = in(2), m3 = in(3), m4 = in(4);
  const Vector sumA = m1 + m2, differenceA = m1 - m2, sumB = m3 + m4, differenceB = m3 - m4;
  out(0, rest(0, m0) + sumA + sumB);
  out(1, rest(1, kA * differenceA) + kB * differenceB);
  out(2, rest(2, kA2 * sumA) + kB2 * sumB);
  out(3, rest(3, kA3 * differenceA) + kB3 * differenceB);
}

// A dy at the finite points.
template <typename Out>
PLUSX_INLINE void transformGradient(Vector d0, Vector d1, Vector d2, Vector d3, const Out& out) {
  const Vector evenA = d0 + kA2 * d2, oddA = kA * d1 + kA3 * d3;
  const Vector evenB = d0 + kB2 * d2, oddB = kB * d1 + kB3 * d3;
  out(0, d0);
  out(1, evenA + oddA);
  out(2, evenA - oddA);
  out(3, evenB + oddB);
  out(4, evenB - oddB);
}

// G's rows are (1, p, p²)/N with N = Π(p - pⱼ): the reciprocals for 0, ±kA and ±kB.
constexpr float kG0 = 1.0f / (kA2 * kB2);
constexpr float kGa = 1.0f / (2.0f * kA2 * (kA2 - kB2));
constexpr float kGb = 1.0f / (2.0f * kB2 * (kB2 - kA2));

// G g at the finite points, of three taps.
template <typename Out>
PLUSX_INLINE void transformTaps(Vector g0, Vector g1, Vector g2, const Out& out) {
  const Vector evenA = g0 + kA2 * g2, evenB = g0 + kB2 * g2;
  out(0, kG0 * g0);
  out(1, kGa * (evenA + kA * g1));
  out(2, kGa * (evenA - kA * g1));
  out(3, kGb * (evenB + kB * g1));
  out(4, kGb * (evenB - kB * g1));
}

// G g at the finite points, of two taps.
template <typename Out>
PLUSX_INLINE void transformTaps(Vector g0, Vector g1, const Out& out) {
  out(0, kG0 * g0);
  out(1, kGa * (g0 + kA * g1));
  out(2, kGa * (g0 - kA * g1));
  out(3, kGb * (g0 + kB * g1));
  out(4, kGb * (g0 - kB * g1));
}

// Gᵀ u from the finite points: the sums that belong to taps 0, 1 and 2.
struct TapGradients {
  Vector g0, g1, g2;
};

template <typename In>
PLUSX_INLINE TapGradients transformBackToTaps(const In& in) {
  const Vector u0 = in(0), u1 = in(1), u2 = in(2), u3 = in(3), u4 = in(4);
  const Vector sumA = kGa * (u1 + u2), differenceA = kGa * (u1 - u2);
  const Vector sumB = kGb * (u3 + u4), differenceB = kGb * (u3 - u4);
  return {kG0 * u0 + (sumA + sumB), kA * differenceA + kB * differenceB,
          kA2 * sumA + kB2 * sumB};
}

constexpr int kFinite = 5;
// Filters of a transformed weight along one axis: at the finite points, and one more.
constexpr int kFilters = kFinite + 1;

// Products along one axis that filter f takes part in: from f on.
template <typename Tiling>
constexpr int productsOf(int f) {
  return f < kFinite ? 1 : Tiling::kProducts - kFinite;
}

// Products of a tile.
template <typename Tiling>
constexpr int kPositions = Tiling::kProducts * Tiling::kProducts;

struct Product {
  int filter, position;
  bool first;  // of its filter
};

// All products of a tile, filter by filter.
template <typename Tiling>
struct Products {
  Product list[kPositions<Tiling>] = {};

  constexpr Products() {
    Product* next = list;
    for (int filter = 0; filter < kFilters * kFilters; ++filter) {
      const int row = filter / kFilters, column = filter % kFilters;
      for (int i = 0; i < productsOf<Tiling>(row); ++i) {
        for (int j = 0; j < productsOf<Tiling>(column); ++j) {
          *next++ = {filter, (row + i) * Tiling::kProducts + column + j, i == 0 && j == 0};
        }
      }
    }
  }
};

template <typename Tiling>
constexpr Products<Tiling> kOrder = {};

// F(4,3), forward and backward: the last filter is the point ∞.
struct Stride1 {
  static constexpr bool kForward = true;
  static constexpr int kInput = 6;     // inputs that a tile reads
  static constexpr int kAdvance = 4;   // inputs from one tile to the next
  static constexpr int kProducts = 6;  // multiplications
  static constexpr int kOutput = 4;    // outputs of a tile

  template <typename In, typename Out>
  PLUSX_INLINE void input(const In& in, const Out& out) {
    const Vector d1 = in(1), d3 = in(3), d5 = in(5);
    transformInput(in(0), d1, in(2), d3, in(4), out);
    out(5, (d5 - (kA2 + kB2) * d3) + (kA2 * kB2) * d1);
  }
  template <typename In, typename Out>
  PLUSX_INLINE void output(const In& in, const Out& out) {
    const Vector infinity = in(5);
    transformOutput(
        in, PLUSX_LAMBDA(int i, Vector value) { return i == 3 ? infinity + value : value; }, out);
  }
  template <typename In, typename Out>
  PLUSX_INLINE void gradient(const In& in, const Out& out) {
    const Vector d3 = in(3);
    transformGradient(in(0), in(1), in(2), d3, out);
    out(5, d3);
  }
  template <typename In, typename Out>
  PLUSX_INLINE void filter(const In& in, const Out& out) {
    const Vector g2 = in(2);
    transformTaps(in(0), in(1), g2, out);
    out(5, g2);
  }
  template <typename In, typename Out>
  PLUSX_INLINE void filterGradient(const In& in, const Out& out) {
    const TapGradients taps = transformBackToTaps(in);
    out(0, taps.g0);
    out(1, taps.g1);
    out(2, taps.g2 + in(5));
  }
};

// The filter of both tilings of stride 2: taps 0 and 2 as F(4,2), then tap 1 alone.
struct Phases {
  template <typename In, typename Out>
  PLUSX_INLINE void filter(const In& in, const Out& out) {
    transformTaps(in(0), in(2), out);
    out(5, in(1));
  }
};

// Stride 2, forward and the weight's gradient: inputs 0, 2, 4, 6, 8 meet taps 0 and 2.
struct Stride2 : Phases {
  static constexpr bool kForward = true;
  static constexpr int kInput = 9, kAdvance = 8, kProducts = 9, kOutput = 4;

  template <typename In, typename Out>
  PLUSX_INLINE void input(const In& in, const Out& out) {
    transformInput(in(0), in(2), in(4), in(6), in(8), out);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) out(kFinite + i, in(2 * i + 1));
  }
  template <typename In, typename Out>
  PLUSX_INLINE void output(const In& in, const Out& out) {
    transformOutput(
        in, PLUSX_LAMBDA(int i, Vector value) { return in(kFinite + i) + value; }, out);
  }
  template <typename In, typename Out>
  PLUSX_INLINE void gradient(const In& in, const Out& out) {
    const Vector d[] = {in(0), in(1), in(2), in(3)};
    transformGradient(d[0], d[1], d[2], d[3], out);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) out(kFinite + i, d[i]);
  }
  template <typename In, typename Out>
  PLUSX_INLINE void filterGradient(const In& in, const Out& out) {
    const TapGradients taps = transformBackToTaps(in);
    out(0, taps.g0);
    out(1, in(5));
    out(2, taps.g1);
  }
};

// Stride 2 backwards, padding 1: dx(2i) = g₁ dy(i), dx(2i + 1) = g₂ dy(i) + g₀ dy(i + 1); the taps
// come in reverse.
struct Stride2Backward : Phases {
  static constexpr bool kForward = false;
  static constexpr int kInput = 5, kAdvance = 4, kProducts = 9, kOutput = 8;

  template <typename In, typename Out>
  PLUSX_INLINE void input(const In& in, const Out& out) {
    const Vector d[] = {in(0), in(1), in(2), in(3)};
    transformInput(d[0], d[1], d[2], d[3], in(4), out);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) out(kFinite + i, d[i]);
  }
  template <typename In, typename Out>
  PLUSX_INLINE void output(const In& in, const Out& out) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) out(2 * i, in(kFinite + i));
    transformOutput(
        in, PLUSX_LAMBDA(int, Vector value) { return value; },
        PLUSX_LAMBDA(int i, Vector value) { out(2 * i + 1, value); });
  }
};

// The two halves of T X Tᵀ: Columns columns of X give Half values each, then the rows follow.
// in(column)(row); out(row)(column, value).
//
// V8 moves computations to where their values are used: in WebAssembly, unless each column's lie in memory
// before the next is read, all of a tile is read at once, three times as much as there are registers.
template <int Columns, int Half, typename Transform, typename In, typename Out>
PLUSX_INLINE void transformTwice(const Transform& transform, const In& in, const Out& out) {
  Vector half[Half * Columns];
#pragma GCC unroll 9
  for (int j = 0; j < Columns; ++j) {
    transform(in(j), PLUSX_LAMBDA(int i, Vector value) { half[i * Columns + j] = value; });
#if defined(__wasm__)
    written(half);
#endif
  }
#pragma GCC unroll 9
  for (int i = 0; i < Half; ++i) {
    transform(PLUSX_LAMBDA(int j) { return half[i * Columns + j]; }, out(i));
  }
}

template <typename Tiling, typename In, typename Out>
PLUSX_INLINE void transformInputTile(const In& in, const Out& out) {
  transformTwice<Tiling::kInput, Tiling::kProducts>(
      PLUSX_LAMBDA(const auto& from, const auto& to) { Tiling::input(from, to); }, in, out);
}

template <typename Tiling, typename In, typename Out>
PLUSX_INLINE void transformOutputTile(const In& in, const Out& out) {
  transformTwice<Tiling::kProducts, Tiling::kOutput>(
      PLUSX_LAMBDA(const auto& from, const auto& to) { Tiling::output(from, to); }, in, out);
}

template <typename Tiling, typename In, typename Out>
PLUSX_INLINE void transformGradientTile(const In& in, const Out& out) {
  transformTwice<Tiling::kOutput, Tiling::kProducts>(
      PLUSX_LAMBDA(const auto& from, const auto& to) { Tiling::gradient(from, to); }, in, out);
}

template <typename Tiling, typename In, typename Out>
PLUSX_INLINE void transformFilter(const In& in, const Out& out) {
  transformTwice<3, kFilters>(
      PLUSX_LAMBDA(const auto& from, const auto& to) { Tiling::filter(from, to); }, in, out);
}

template <typename Tiling, typename In, typename Out>
PLUSX_INLINE void transformFilterGradient(const In& in, const Out& out) {
  transformTwice<kFilters, 3>(
      PLUSX_LAMBDA(const auto& from, const auto& to) { Tiling::filterGradient(from, to); }, in,
      out);
}

}  // namespace plusx::PLUSX_ISA
