// The vector type that every kernel is written in: as wide as the instruction set that this
// translation unit is compiled for. GCC and Clang lower it; there are no intrinsics.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__AVX512F__)
#define PLUSX_VECTOR_WIDTH 16
#elif defined(__AVX2__)
#define PLUSX_VECTOR_WIDTH 8
#else
#define PLUSX_VECTOR_WIDTH 4
#endif

// Vectors stay in registers only in code that is inlined into one function.
#define PLUSX_INLINE __attribute__((always_inline)) static inline
#define PLUSX_LAMBDA(...) [&](__VA_ARGS__) __attribute__((always_inline))
// One that outlives where it is made: what it uses is copied.
#define PLUSX_CLOSURE(...) [=](__VA_ARGS__) __attribute__((always_inline))

namespace plusx::PLUSX_ISA {

constexpr int kWidth = PLUSX_VECTOR_WIDTH;

typedef float Vector __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 4)));

typedef int32_t IntVector __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 4)));

// A vector where it lies in a tensor: rows of odd sizes start anywhere. Only to be read from and
// assigned to: a reference to it promises Clang the alignment of a Vector.
typedef float StoredVector
    __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 4), aligned(4), may_alias));

static inline Vector load(const float* p) { return *reinterpret_cast<const StoredVector*>(p); }
static inline void store(float* p, Vector v) { *reinterpret_cast<StoredVector*>(p) = v; }

// A pointer of which a compiler may not see where it comes from.
// - A WebAssembly load adds a constant to its address for nothing, if Clang sees that the sum does not wrap.
//   It does not see it of pointers that it has rewritten for the loop around: the products of a training
//   step take 1.3 times as long with an addition before each load.
// - GCC, where it sees that a later turn reads the same numbers, keeps them in registers that the sums need.
// - Of 36 places a stride apart it keeps 36 pointers, all of them on the stack, where one a row would do.
template <typename Element>
PLUSX_INLINE Element* opaque(Element* pointer) {
  asm("" : "+r"(pointer));
  return pointer;
}

// Vectors that a compiler may not keep in registers, to be read from memory behind this.
PLUSX_INLINE void written(const Vector* vectors) { asm volatile("" : : "r"(vectors) : "memory"); }

// Two rows change those of their lanes that are Distance apart: of `a` those whose number has the bit of
// Distance, of `b` those whose number has not.
template <int Distance, int... Lane>
PLUSX_INLINE void exchange(Vector& a, Vector& b, std::integer_sequence<int, Lane...>) {
  const Vector lower =
      __builtin_shufflevector(a, b, (Lane & Distance ? Lane - Distance + kWidth : Lane)...);
  b = __builtin_shufflevector(a, b, (Lane & Distance ? Lane + kWidth : Lane + Distance)...);
  a = lower;
}

// rows(i)(j) = rows(j)(i): neighbours first, then pairs, fours and so on.
template <int Distance = 1>
PLUSX_INLINE void transpose(Vector (&rows)[kWidth]) {
  if constexpr (Distance < kWidth) {
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      if (i & Distance) continue;
      exchange<Distance>(rows[i], rows[i + Distance], std::make_integer_sequence<int, kWidth>{});
    }
    transpose<2 * Distance>(rows);
  }
}

// Past the caches, for what is not read again soon; p is aligned to a whole vector.
static inline void storeStreaming(float* p, Vector v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, reinterpret_cast<Vector*>(p));
#elif defined(__AVX512F__)
  __builtin_ia32_movntps512(p, v);
#elif defined(__AVX__)
  __builtin_ia32_movntps256(p, v);
#elif defined(__SSE__)
  __builtin_ia32_movntps(p, v);
#else
  store(p, v);
#endif
}

// A vector that is loaded whatever mask follows: of a load and a mask GCC makes a masked load, which waits for
// what the mask is computed from.
PLUSX_INLINE Vector unmasked(Vector value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value));
#endif
  return value;
}

// A vector of which only the first `lanes` exist in memory.
template <typename Element>
static inline Vector loadLanes(const Element* p, int32_t lanes) {
  if (lanes == kWidth) return load(p);
  Vector value = {};
  for (int32_t lane = 0; lane < lanes; ++lane) value[lane] = p[lane];
  return value;
}
template <typename Element>
static inline void storeLanes(Element* p, Vector v, int32_t lanes) {
  if (lanes == kWidth) return store(p, v);
  for (int32_t lane = 0; lane < lanes; ++lane) p[lane] = v[lane];
}

}  // namespace plusx::PLUSX_ISA
