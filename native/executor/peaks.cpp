#include "peaks.h"

#include "platform.h"

namespace plusx {

namespace {

constexpr double kSeconds = 0.25;

// The best rate of pass(), which returns its amount of work. The first pass warms up.
template <typename Pass>
double fastest(const Pass& pass) {
  pass();
  double best = 0.0, start = now();
  const double end = start + kSeconds;
  do {
    const double work = pass();
    const double stop = now();
    const double rate = work / (stop - start);
    if (rate > best) best = rate;
    start = stop;
  } while (start < end);
  return best;
}

}  // namespace

Peaks measurePeaks(const KernelTable& kernels, char* memory, int64_t bytes, Pool* pool) {
  float* x = reinterpret_cast<float*>(memory);
  const int64_t count = bytes / static_cast<int64_t>(sizeof(float));
  return {fastest([&] { return kernels.multiplyAdds(pool); }),
          fastest([&] { return kernels.stream(x, count, pool); })};
}

}  // namespace plusx
