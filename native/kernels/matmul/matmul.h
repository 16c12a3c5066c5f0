// y = a·b for the matrices of a network's head: y (M, N), either operand read transposed.
//
// The weight is the large one (151 MB in AlexNet's first) and is read from main memory once: a task
// takes some columns of y for all rows of a, cut by shape, and keeps a tile of sums in registers.
// Source: Goto and van de Geijn 2008, Anatomy of High-Performance Matrix Multiplication.
#pragma once
#include "executor/program.h"
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

void matmul(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
