// Runs a program: the plan's interpreter.
#pragma once
#include "program.h"

namespace plusx {

// Whether every step of the program is complete and known; a false program is never run.
bool programIsValid(const int32_t* program, int64_t length);

// Runs all steps in order on the pool. `arena` is aligned to 64 bytes.
void runProgram(const KernelTable& kernels, const int32_t* program, int64_t length, char* arena,
                Pool* pool);

}  // namespace plusx
