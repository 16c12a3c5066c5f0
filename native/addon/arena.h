// The memory that plans run in.
#pragma once
#include <cstring>

#include "executor/pages.h"

class Arena {
 public:
  bool grow(size_t bytes) {
    if (bytes <= pages_.bytes()) return true;
    plusx::Pages larger(bytes);
    if (!larger.data()) return false;
    if (pages_.data()) std::memcpy(larger.data(), pages_.data(), pages_.bytes());
    pages_ = std::move(larger);
    return true;
  }

  void release() { pages_ = plusx::Pages(); }

  char* data() const { return pages_.data(); }
  size_t bytes() const { return pages_.bytes(); }
  bool busy = false;

 private:
  plusx::Pages pages_;
};
