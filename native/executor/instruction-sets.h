// The kernels that were linked in, one table for each instruction set that kernels.cpp is compiled
// for on this kind of processor (src/backend/native/build.ts), and which of them this one runs.
#pragma once
#include <vector>

#include "program.h"

#define PLUSX_DECLARE(isa)               \
  namespace plusx::isa {                 \
  const KernelTable& kernelTable();      \
  }
#if defined(__x86_64__)
PLUSX_DECLARE(avx512_bf16)
PLUSX_DECLARE(avx512)
PLUSX_DECLARE(avx2)
PLUSX_DECLARE(x86_64_v2)
#elif defined(__aarch64__)
PLUSX_DECLARE(neon)
#else
PLUSX_DECLARE(generic)
#endif
#undef PLUSX_DECLARE

namespace plusx {

struct InstructionSet {
  const char* name;
  bool available;
  const KernelTable& (*table)();
};

// Best first.
inline std::vector<InstructionSet> instructionSets() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool hasAvx512 =
      hasAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  const bool hasDots = hasAvx512 && __builtin_cpu_supports("avx512bf16");
  return {{"avx512-bf16", hasDots, avx512_bf16::kernelTable},
          {"avx512", hasAvx512, avx512::kernelTable},
          {"avx2", hasAvx2, avx2::kernelTable},
          {"x86-64-v2", static_cast<bool>(__builtin_cpu_supports("sse4.2")),
           x86_64_v2::kernelTable}};
#elif defined(__aarch64__)
  return {{"neon", true, neon::kernelTable}};
#else
  return {{"generic", true, generic::kernelTable}};
#endif
}

}  // namespace plusx
