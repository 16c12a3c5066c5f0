#include "executor.h"

namespace plusx {

bool programIsValid(const int32_t* program, int64_t length) {
  int64_t at = 0;
  while (at < length) {
    if (at + 2 > length) return false;
    const int32_t opcode = program[at], arguments = program[at + 1];
    if (opcode < 0 || opcode >= static_cast<int32_t>(Opcode::count)) return false;
    if (arguments < 0 || at + 2 + arguments > length) return false;
    at += 2 + arguments;
  }
  return true;
}

void runProgram(const KernelTable& kernels, const int32_t* program, int64_t length, char* arena,
                Pool* pool) {
  for (int64_t at = 0; at < length; at += 2 + program[at + 1]) {
    kernels.run[program[at]](Arguments(program + at + 2, arena), pool);
  }
}

}  // namespace plusx
