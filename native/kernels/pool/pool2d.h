// Max and average pooling over R×S windows of (N, H, W, C), and their gradients.
//
// The largest value's first place in row-major order takes the gradient; padding never wins.
// Averages divide by the pixels of the window that lie in the image, or in it and its padding.
#pragma once
#include "executor/program.h"
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

void maxPool2d(Arguments arguments, Pool* pool);
void maxPool2dBackward(Arguments arguments, Pool* pool);
void avgPool2d(Arguments arguments, Pool* pool);
void avgPool2dBackward(Arguments arguments, Pool* pool);

// Zeros in (images, imageFloats), for windows that add to them.
static inline void clearImages(Pool* pool, int32_t images, int64_t imageFloats, float* values) {
  parallelFor(pool, images, [&](int32_t n, char*) {
    __builtin_memset(values + n * imageFloats, 0, sizeof(float) * imageFloats);
  });
}

}  // namespace plusx::PLUSX_ISA
