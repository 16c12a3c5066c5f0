// bfloat16, the upper half of a float: how maps are stored in mixed precision. Kernels load it as
// floats and round as they store, to the nearest, halves to even.
//
// Where the processor has dot products of bfloat16 pairs, long sums of products are made of them: two
// multiply-adds a lane in one instruction, the sum in float (see `Factor` and `multiplyAdd`).
#pragma once
#include "vector.h"

#if defined(__AVX512BF16__)
// Of these instructions GCC and Clang have no common names but the intrinsics.
#include <immintrin.h>
#endif

namespace plusx::PLUSX_ISA {

typedef uint32_t BitsVector __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 4)));
typedef uint16_t HalfVector __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 2)));
typedef uint16_t StoredHalves
    __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 2), aligned(2), may_alias));

// A NaN stays one: a diverging run must be seen.
static inline uint16_t roundToHalf(float value) {
  if (value != value) return 0x7fc0;
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

struct BFloat {
  uint16_t bits;

  BFloat() = default;
  BFloat(float value) : bits(roundToHalf(value)) {}
  operator float() const { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
};

// What only floats have: inference, stores past the caches.
template <typename Map>
constexpr bool kIsFloat = false;
template <>
constexpr bool kIsFloat<float> = true;

static inline HalfVector roundToHalves(Vector v) {
#if defined(__AVX512BF16__)
  return (HalfVector)_mm512_cvtneps_pbh((__m512)v);
#else
  const BitsVector bits = (BitsVector)v;
  const BitsVector rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return __builtin_convertvector(v != v ? BitsVector{} + 0x7fc0 : rounded, HalfVector);
#endif
}

static inline Vector load(const BFloat* p) {
  const HalfVector halves = *reinterpret_cast<const StoredHalves*>(p);
  return (Vector)(__builtin_convertvector(halves, BitsVector) << 16);
}
static inline void store(BFloat* p, Vector v) {
  *reinterpret_cast<StoredHalves*>(p) = roundToHalves(v);
}

// kWidth numbers, converted where the types differ.
template <typename To, typename From>
PLUSX_INLINE void copyVector(To* to, const From* from) {
  store(to, load(from));
}
PLUSX_INLINE void copyVector(BFloat* to, const BFloat* from) {
  *reinterpret_cast<StoredHalves*>(to) = *reinterpret_cast<const StoredHalves*>(from);
}

// What the factors of the products over maps are: floats, or bfloat16 where it has dot products. Of
// those, two steps of a sum lie side by side: (step/2, lane, step mod 2).
template <typename Map>
struct FactorOf {
  typedef float type;
};
template <typename Map>
using Factor = typename FactorOf<Map>::type;

// Steps of a sum in one instruction.
template <typename Factor>
constexpr int kSteps = 1;

PLUSX_INLINE float broadcastOf(const float* p) { return *p; }
PLUSX_INLINE Vector lanesOf(const float* p) { return load(p); }
PLUSX_INLINE void multiplyAdd(Vector& sum, float factor, Vector lanes) { sum += factor * lanes; }

#if defined(__AVX512BF16__)

template <>
struct FactorOf<BFloat> {
  typedef BFloat type;
};
template <>
constexpr int kSteps<BFloat> = 2;

typedef int32_t StoredPair __attribute__((aligned(2), may_alias));
typedef int32_t StoredPairs
    __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 4), aligned(2), may_alias));

PLUSX_INLINE int32_t broadcastOf(const BFloat* p) { return *reinterpret_cast<const StoredPair*>(p); }
PLUSX_INLINE IntVector lanesOf(const BFloat* p) { return *reinterpret_cast<const StoredPairs*>(p); }

// sum(i) += factor(0)·lanes(2i) + factor(1)·lanes(2i + 1)
PLUSX_INLINE void multiplyAdd(Vector& sum, int32_t factor, IntVector lanes) {
  sum = (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(IntVector{} + factor), (__m512bh)lanes);
}

// Two steps: a(0), b(0), a(1), b(1), …
PLUSX_INLINE void storePairs(BFloat* p, Vector a, Vector b) {
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
  const BitsVector order = {0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005,
                            0x160006, 0x170007, 0x180008, 0x190009, 0x1a000a, 0x1b000b,
                            0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f};
  *reinterpret_cast<StoredPairs*>(p) =
      (IntVector)_mm512_permutexvar_epi16((__m512i)order, halves);
}

#endif

}  // namespace plusx::PLUSX_ISA
