// Stores of large maps past the caches: a line that is written whole need not be fetched before.
#pragma once
#include "bfloat.h"

namespace plusx::PLUSX_ISA {

// What is larger than a second-level cache is stored past the caches. Measured on Zen 4 with 32 MiB of
// third-level cache: even what that could keep is stored and read again in less time.
constexpr int64_t kCachedBytes = int64_t{1} << 20;

// Numbers of a cache line.
template <typename Number>
constexpr int64_t kLine = 64 / sizeof(Number);

// Whether caches can be told what to fetch and what to leave out: not in WebAssembly.
#if defined(__wasm__)
constexpr bool kDirectsCaches = false;
#else
constexpr bool kDirectsCaches = true;
#endif

// Has a line come nearer where caches cannot be told to: by reading from it. For many lines that are read
// one after the other a core waits once, where amid computations it would for each, since it sees only some
// hundred instructions ahead; and a line that it writes into has to come as well.
PLUSX_INLINE void touch(const void* line) { static_cast<void>(*static_cast<const volatile char*>(line)); }

// Whether a map is so stored, a pixel's channels in whole vectors. Of bfloat16 a vector is half a cache
// line: the other half may come later.
template <typename Map>
PLUSX_INLINE bool streams(int64_t pixels, int32_t C) {
  const int64_t bytes = static_cast<int64_t>(sizeof(Map)) * pixels * C;
  return kDirectsCaches && kIsFloat<Map> && C % kWidth == 0 && bytes > kCachedBytes;
}

// kWidth channels, of which `lanes` exist; past the caches where they stream.
template <typename Map>
PLUSX_INLINE void storeMap(Map* p, Vector value, int32_t lanes, bool streaming) {
  if constexpr (kDirectsCaches && kIsFloat<Map>) {
    if (streaming) return storeStreaming(p, value);
  }
  storeLanes(p, value, lanes);
}

}  // namespace plusx::PLUSX_ISA
