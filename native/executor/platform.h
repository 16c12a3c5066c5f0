// What the executor needs of a platform: to sleep until a word changes, to wake sleepers, a clock in
// seconds from any start, and, where there is a say in it, the processors that threads run on. Native
// code takes them from the system, WebAssembly from its own instructions, and the clock from its host.
#pragma once
#include <cstdint>

#if defined(__wasm__)

extern "C" __attribute__((import_module("env"), import_name("now"))) double plusxNow();

namespace plusx {
// A function of its own: V8's baseline compiler (seen in V8 11.3, Node 20) loses locals that are alive
// across the wait instruction, and with them the rest of the caller's work.
__attribute__((noinline)) inline void sleepWhileEqual(uint32_t* word, uint32_t value) {
  __builtin_wasm_memory_atomic_wait32(reinterpret_cast<int32_t*>(word),
                                      static_cast<int32_t>(value), -1);
}
inline void wakeAll(uint32_t* word) {
  __builtin_wasm_memory_atomic_notify(reinterpret_cast<int32_t*>(word), ~0u);
}
inline void relax() {}
inline double now() { return plusxNow(); }
inline int32_t currentProcessor() { return -1; }
inline void leaveProcessor() {}
}  // namespace plusx

#else
#include <atomic>
#include <chrono>

#if defined(__linux__)
#include <sched.h>
#endif

namespace plusx {
inline void sleepWhileEqual(uint32_t* word, uint32_t value) {
  std::atomic_ref<uint32_t>(*word).wait(value, std::memory_order_acquire);
}
inline void wakeAll(uint32_t* word) { std::atomic_ref<uint32_t>(*word).notify_all(); }
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
inline double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

// The processor that the calling thread runs on, -1 where there is no telling.
inline int32_t currentProcessor() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}
// Moves the calling thread to another processor of those that it may use. It may come back any time.
inline void leaveProcessor() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<size_t>(sched_getcpu()), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) != 0) return;
  sched_setaffinity(0, sizeof(allowed), &allowed);
#endif
}
}  // namespace plusx

#endif
