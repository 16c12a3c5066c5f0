// The vector type that every kernel is written in: as wide as the instruction set that this
// translation unit is compiled for. GCC and Clang lower it; there are no intrinsics.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__)
#define PLUSX_VECTOR_WIDTH 16
#elif defined(__AVX2__)
#define PLUSX_VECTOR_WIDTH 8
#else
#define PLUSX_VECTOR_WIDTH 4
#endif

namespace plusx::PLUSX_ISA {

constexpr int kWidth = PLUSX_VECTOR_WIDTH;

// aligned(4): tensors of odd sizes put rows anywhere.
typedef float Vector __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 4), aligned(4), may_alias));
typedef double DoubleVector
    __attribute__((vector_size(PLUSX_VECTOR_WIDTH * 8), aligned(8), may_alias));

// Vectors travel by reference: by value their calling convention depends on the flags.
static inline const Vector& load(const float* p) { return *reinterpret_cast<const Vector*>(p); }
static inline void store(float* p, const Vector& v) { *reinterpret_cast<Vector*>(p) = v; }

}  // namespace plusx::PLUSX_ISA
