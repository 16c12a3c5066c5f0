// Runs a program: the plan's interpreter.
#pragma once
#include "program.h"

namespace plusx {

// The number of steps; -1 where one is incomplete or unknown, and then nothing may be run.
int64_t programSteps(const int32_t* program, int64_t length);

// Runs all steps in order on the pool. `arena` is aligned to 64 bytes. `seconds`, one a step,
// take the time of each; null: no clock is read.
void runProgram(const KernelTable& kernels, const int32_t* program, int64_t length, char* arena,
                Pool* pool, double* seconds);

}  // namespace plusx
