// Memory for tensors and scratch: zeroed, in huge pages where the system gives them, and resident only
// where it has been touched.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace plusx {

class Pages {
 public:
  Pages() = default;
  // Empty where there is no such memory.
  explicit Pages(size_t bytes) {
    // Only what begins at a huge page's address is given one.
    const size_t reserved = bytes + kHugePage;
#if defined(__unix__) || defined(__APPLE__)
    void* memory =
        mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
#if defined(__linux__)
    madvise(memory, reserved, MADV_HUGEPAGE);
#endif
#else
    void* memory = std::calloc(reserved, 1);
    if (!memory) return;
#endif
    memory_ = memory;
    reserved_ = reserved;
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
    data_ = static_cast<char*>(memory) + (kHugePage - address % kHugePage) % kHugePage;
    bytes_ = bytes;
  }
  Pages(Pages&& other) noexcept { *this = std::move(other); }
  Pages& operator=(Pages&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(reserved_, other.reserved_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages() {
    if (!memory_) return;
#if defined(__unix__) || defined(__APPLE__)
    munmap(memory_, reserved_);
#else
    std::free(memory_);
#endif
  }

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;

  void* memory_ = nullptr;
  size_t reserved_ = 0;
  char* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace plusx
