// The two ceilings of the roofline (Williams, Waterman and Patterson 2009): loops that only
// calculate and loops that only move memory, on every thread of the pool. No step of a plan.
//
//   multiplyAdds: a_j ← a_j·b + c, for vectors a_j that stay in registers; enough of them that the
//                 next one can always begin while the others are under way
//   stream:       x_i ← c - x_i, which reads and writes each line of memory once
#pragma once
#include "executor/program.h"
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

// One pass, of milliseconds. Returns its operations, a multiply-add counted as two.
double multiplyAdds(Pool* pool);

// One pass over x. Returns the bytes that it moved, reads and writes together.
double stream(float* x, int64_t count, Pool* pool);

}  // namespace plusx::PLUSX_ISA
