// Batch normalisation over the rows of (M, C): training, inference and gradient.
//
// Sums are taken over fixed blocks of rows, in fp32 within 128 rows and in fp64 beyond, and added
// in the order of the blocks: the same bits with any number of threads. The variance is computed
// around the mean in a second pass (no cancellation).
#pragma once
#include "executor/program.h"
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

void batchNorm(Arguments arguments, Pool* pool);
void batchNormInference(Arguments arguments, Pool* pool);
void batchNormBackward(Arguments arguments, Pool* pool);
void sumToChannels(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
