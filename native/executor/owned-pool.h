// A pool with its memory and its threads, which live as long as it does; the caller of
// runProgram is one thread more. For native code: in WebAssembly the host owns all three.
#pragma once
#include <thread>
#include <vector>

#include "pages.h"
#include "pool.h"
#include "redzone.h"

namespace plusx {

class OwnedPool {
 public:
  explicit OwnedPool(int32_t threads) : memory_(poolMemoryBytes(threads)) {
    if (!memory_.data()) __builtin_trap();
    poolInit(&pool_, threads, memory_.data());
    forbid(pool_.shared + kSharedScratchBytes, kScratchGapBytes);
    for (int32_t i = 0; i < threads; ++i) {
      forbid(threadScratch(&pool_, i) + kThreadScratchBytes, kScratchGapBytes);
    }
    for (int32_t i = 1; i < threads; ++i) workers_.emplace_back(poolWorker, &pool_, i);
  }
  ~OwnedPool() {
    poolStop(&pool_);
    for (std::thread& worker : workers_) worker.join();
    allow(memory_.data(), memory_.bytes());
  }
  OwnedPool(const OwnedPool&) = delete;
  OwnedPool& operator=(const OwnedPool&) = delete;

  Pool* get() { return &pool_; }

 private:
  Pages memory_;
  Pool pool_;
  std::vector<std::thread> workers_;
};

}  // namespace plusx
