// A pool with its memory and its threads, which live as long as it does; the caller of
// runProgram is one thread more. For native code: in WebAssembly the host owns all three.
#pragma once
#include <thread>
#include <vector>

#include "pool.h"
#include "redzone.h"

namespace plusx {

class OwnedPool {
 public:
  explicit OwnedPool(int32_t threads) : memory_(poolMemoryBytes(threads) + kAlignment) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    const uintptr_t aligned = (address + kAlignment - 1) / kAlignment * kAlignment;
    poolInit(&pool_, threads, memory_.data() + (aligned - address));
    forbid(pool_.shared + kSharedScratchBytes, kScratchGapBytes);
    for (int32_t i = 0; i < threads; ++i) {
      forbid(threadScratch(&pool_, i) + kThreadScratchBytes, kScratchGapBytes);
    }
    for (int32_t i = 1; i < threads; ++i) workers_.emplace_back(poolWorker, &pool_, i);
  }
  ~OwnedPool() {
    poolStop(&pool_);
    for (std::thread& worker : workers_) worker.join();
    allow(memory_.data(), memory_.size());
  }
  OwnedPool(const OwnedPool&) = delete;
  OwnedPool& operator=(const OwnedPool&) = delete;

  Pool* get() { return &pool_; }

 private:
  static constexpr size_t kAlignment = 64;

  std::vector<char> memory_;
  Pool pool_;
  std::vector<std::thread> workers_;
};

}  // namespace plusx
