// The only place that knows WebAssembly: the entry points of a module whose memory is shared by
// several threads. The host allocates; each thread's instance gets a stack of its own from the
// host, which sets the exported __stack_pointer before its first call.
#include "executor/executor.h"
#include "executor/peaks.h"
#include "kernels/kernels.cpp"

#include "executor/executor.cpp"
#include "executor/peaks.cpp"
#include "executor/pool.cpp"

#define PLUSX_EXPORT(name) extern "C" __attribute__((export_name(name)))

PLUSX_EXPORT("poolBytes") int32_t poolBytes(int32_t threads) {
  return static_cast<int32_t>((sizeof(plusx::Pool) + 63) / 64 * 64 +
                              plusx::poolMemoryBytes(threads));
}

// `memory`: poolBytes(threads) bytes, aligned to 64; the pool lies at its start.
PLUSX_EXPORT("poolInit") void poolInit(char* memory, int32_t threads) {
  plusx::poolInit(reinterpret_cast<plusx::Pool*>(memory), threads,
                  memory + (sizeof(plusx::Pool) + 63) / 64 * 64);
}

PLUSX_EXPORT("poolWorker") void poolWorker(plusx::Pool* pool, int32_t index) {
  plusx::poolWorker(pool, index);
}

PLUSX_EXPORT("poolStop") void poolStop(plusx::Pool* pool) { plusx::poolStop(pool); }

// Returns 1, or 0 where the program is malformed and nothing was run. `seconds` may be null.
PLUSX_EXPORT("run") int32_t run(plusx::Pool* pool, const int32_t* program, int32_t length,
                                char* arena, double* seconds) {
  if (plusx::programSteps(program, length) < 0) return 0;
  plusx::runProgram(plusx::PLUSX_ISA::kernelTable(), program, length, arena, pool, seconds);
  return 1;
}

// Writes the operations and the bytes a second to `peaks`. Returns 1.
PLUSX_EXPORT("measurePeaks") int32_t measurePeaks(plusx::Pool* pool, char* memory, uint32_t bytes,
                                                  plusx::Peaks* peaks) {
  *peaks = plusx::measurePeaks(plusx::PLUSX_ISA::kernelTable(), memory, bytes, pool);
  return 1;
}
