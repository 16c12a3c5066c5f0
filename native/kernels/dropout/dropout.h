// y(i) = x(i)·m(i): m is 0 where a word of Philox 4×32-10 is below the threshold, else 1/(1 - p).
//
// A mask is a function of key, step, layer and i, as src/random/philox.ts computes it too. Backward is
// the same step on dy. Source: Salmon et al. 2011, Parallel Random Numbers: As Easy as 1, 2, 3.
#pragma once
#include "executor/program.h"
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

void dropout(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
