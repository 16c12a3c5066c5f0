// Average pooling to a given size: output i of an axis is the mean over
// floor(i·size/count) … ceil((i + 1)·size/count) - 1, as in PyTorch.
#pragma once
#include "executor/program.h"
#include "simd/bfloat.h"

namespace plusx::PLUSX_ISA {

template <typename Map>
void adaptiveAvgPool2d(Arguments arguments, Pool* pool);
template <typename Map>
void adaptiveAvgPool2dBackward(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
