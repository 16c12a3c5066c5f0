// How fast this machine is at most, on the threads and the instruction set that plans run on: what
// a step's time is compared with.
#pragma once
#include "program.h"

namespace plusx {

struct Peaks {
  double flopsPerSecond;  // a multiply-add counted as two
  double bytesPerSecond;  // read and written together
};

// The fastest pass of each measuring loop in a quarter of a second. `memory`, aligned to 64 bytes,
// should be larger than the caches.
Peaks measurePeaks(const KernelTable& kernels, char* memory, int64_t bytes, Pool* pool);

}  // namespace plusx
