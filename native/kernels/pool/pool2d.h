// Max and average pooling over R×S windows of (N, H, W, C), and their gradients.
//
// The largest value's first place in row-major order takes the gradient; padding never wins.
// Averages divide by the pixels of the window that lie in the image, or in it and its padding.
#pragma once
#include "executor/program.h"
#include "simd/bfloat.h"

namespace plusx::PLUSX_ISA {

template <typename Map>
void maxPool2d(Arguments arguments, Pool* pool);
template <typename Map>
void maxPool2dBackward(Arguments arguments, Pool* pool);
template <typename Map>
void avgPool2d(Arguments arguments, Pool* pool);
template <typename Map>
void avgPool2dBackward(Arguments arguments, Pool* pool);

// Zeros in (images, imageValues), for windows that add to them.
template <typename Map>
static inline void clearImages(Pool* pool, int32_t images, int64_t imageValues, Map* values) {
  parallelFor(pool, images, [&](int32_t n, char*) {
    __builtin_memset(values + n * imageValues, 0, sizeof(Map) * imageValues);
  });
}

}  // namespace plusx::PLUSX_ISA
