// Memory that nobody may touch: AddressSanitizer ends a program that does. In builds without it
// both functions do nothing.
#pragma once
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define PLUSX_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLUSX_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(PLUSX_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#endif

namespace plusx {

// The sanitizer marks memory in units of 8 bytes: `memory` starts at one, the end may lie within.
inline void forbid([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#if defined(PLUSX_ADDRESS_SANITIZER)
  __asan_poison_memory_region(memory, bytes);
#endif
}

inline void allow([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#if defined(PLUSX_ADDRESS_SANITIZER)
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

}  // namespace plusx
