#include "executor.h"

#include "platform.h"

namespace plusx {

int64_t programSteps(const int32_t* program, int64_t length) {
  int64_t at = 0, steps = 0;
  for (; at < length; ++steps) {
    if (at + 2 > length) return -1;
    const int32_t opcode = program[at], arguments = program[at + 1];
    if (!isOpcode(opcode)) return -1;
    if (arguments < 0 || at + 2 + arguments > length) return -1;
    at += 2 + arguments;
  }
  return steps;
}

void runProgram(const KernelTable& kernels, const int32_t* program, int64_t length, char* arena,
                Pool* pool, double* seconds) {
  double start = seconds ? now() : 0.0;
  for (int64_t at = 0; at < length; at += 2 + program[at + 1]) {
    kernels.run[program[at]](Arguments(program + at + 2, arena), pool);
    if (!seconds) continue;
    const double end = now();
    *seconds++ = end - start;
    start = end;
  }
}

}  // namespace plusx
