// Batch normalisation over the rows of (M, C): training, inference and gradient.
//
// Sums are taken over fixed blocks of rows, in fp32 within 128 rows and in fp64 beyond, and added
// in the order of the blocks: the same bits with any number of threads. Variances are summed around a
// value of the sample (no cancellation). The equations stand at the steps in src/plan/plan.ts.
#pragma once
#include "executor/program.h"
#include "simd/streaming.h"

namespace plusx::PLUSX_ISA {

template <typename Map>
void batchNormStatistics(Arguments arguments, Pool* pool);
void batchNormFold(Arguments arguments, Pool* pool);
template <typename Map>
void scaleShift(Arguments arguments, Pool* pool);
template <typename Map>
void batchNormBackwardSums(Arguments arguments, Pool* pool);
template <typename Map>
void reluBackwardSums(Arguments arguments, Pool* pool);
template <typename Map>
void batchNormBackwardInput(Arguments arguments, Pool* pool);
template <typename Map>
void sumToChannels(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
