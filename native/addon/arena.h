// The memory that plans run in.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <cstring>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

// Zeroed memory, aligned to pages, in huge pages where the system gives them.
class Arena {
 public:
  ~Arena() { release(); }

  bool grow(size_t bytes) {
    if (bytes <= bytes_) return true;
    char* larger = allocate(bytes);
    if (!larger) return false;
    if (bytes_ > 0) std::memcpy(larger, data_, bytes_);
    release();
    data_ = larger;
    bytes_ = bytes;
    return true;
  }

  void release() {
    if (!data_) return;
#if defined(__unix__) || defined(__APPLE__)
    munmap(data_, bytes_);
#else
    std::free(data_);
#endif
    data_ = nullptr;
    bytes_ = 0;
  }

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool busy = false;

 private:
  static char* allocate(size_t bytes) {
#if defined(__unix__) || defined(__APPLE__)
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
#if defined(__linux__)
    madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return static_cast<char*>(memory);
#else
    return static_cast<char*>(std::calloc(bytes, 1));
#endif
  }

  char* data_ = nullptr;
  size_t bytes_ = 0;
};
