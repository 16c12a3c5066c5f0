// y = a·b for the small matrices of a network's head: y (M, N), either operand read transposed.
#pragma once
#include "executor/program.h"
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

void matmul(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
