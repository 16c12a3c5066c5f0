#include "pool.h"

#include "platform.h"

namespace plusx {

// How often a waiting thread looks before it sleeps: a few microseconds, the gap between two
// steps of a plan; longer would take the processor from the event loop and the image loader.
constexpr int kSpins = 2000;

static uint32_t loadWord(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static void waitUntilDifferent(uint32_t* word, uint32_t value) {
  for (int i = 0; i < kSpins; ++i) {
    if (loadWord(word) != value) return;
    relax();
  }
  while (loadWord(word) == value) sleepWhileEqual(word, value);
}

// Who sleeps is often woken on the processor of who wakes it, and then the two take turns for as long
// as the system does not notice: in the first tenths of a second after a pause, half of the speed.
static void leaveCaller(const Pool* pool) {
  const int32_t caller = __atomic_load_n(&pool->callersProcessor, __ATOMIC_RELAXED);
  if (caller >= 0 && currentProcessor() == caller) leaveProcessor();
}

static uint64_t rangeWord(int32_t begin, int32_t end) {
  return static_cast<uint64_t>(end) << 32 | static_cast<uint32_t>(begin);
}

// The first task of a range, or the last; -1 where none is left.
static int32_t takeTask(TaskRange* range, bool first) {
  uint64_t word = __atomic_load_n(&range->word, __ATOMIC_RELAXED);
  for (;;) {
    const int32_t begin = static_cast<int32_t>(word), end = static_cast<int32_t>(word >> 32);
    if (begin == end) return -1;
    const uint64_t left = first ? rangeWord(begin + 1, end) : rangeWord(begin, end - 1);
    const bool taken = __atomic_compare_exchange_n(&range->word, &word, left, true, __ATOMIC_RELAXED,
                                                   __ATOMIC_RELAXED);
    if (taken) return first ? begin : end - 1;
  }
}

static void takeTasks(Pool* pool, int32_t index) {
  char* scratch = threadScratch(pool, index);
  for (int32_t i = 0; i < pool->threads; ++i) {
    TaskRange* range = pool->ranges + (index + i) % pool->threads;
    for (int32_t task; (task = takeTask(range, i == 0)) >= 0;) pool->fn(pool->context, task, scratch);
  }
}

size_t poolMemoryBytes(int32_t threads) {
  return static_cast<size_t>(threads) * (sizeof(TaskRange) + kThreadScratchBytes + kScratchGapBytes) +
         kSharedScratchBytes + kScratchGapBytes;
}

void poolInit(Pool* pool, int32_t threads, char* memory) {
  *pool = Pool{};
  pool->threads = threads;
  pool->shared = memory;
  pool->scratch = memory + kSharedScratchBytes + kScratchGapBytes;
  pool->ranges = reinterpret_cast<TaskRange*>(threadScratch(pool, threads));
}

void poolWorker(Pool* pool, int32_t index) {
  uint32_t seen = 0;
  for (;;) {
    waitUntilDifferent(&pool->job, seen);
    seen = loadWord(&pool->job);
    if (loadWord(&pool->stopped)) return;
    leaveCaller(pool);
    takeTasks(pool, index);
    if (__atomic_sub_fetch(&pool->running, 1, __ATOMIC_ACQ_REL) == 0) wakeAll(&pool->running);
  }
}

void poolStop(Pool* pool) {
  __atomic_store_n(&pool->stopped, 1, __ATOMIC_RELEASE);
  __atomic_add_fetch(&pool->job, 1, __ATOMIC_ACQ_REL);
  wakeAll(&pool->job);
}

void poolRun(Pool* pool, int32_t tasks, TaskFunction fn, void* context) {
  if (pool->threads == 1 || tasks <= 1) {
    for (int32_t task = 0; task < tasks; ++task) fn(context, task, pool->scratch);
    return;
  }
  for (int32_t i = 0; i < pool->threads; ++i) {
    const auto startOf = [&](int32_t thread) {
      return static_cast<int32_t>(int64_t{tasks} * thread / pool->threads);
    };
    __atomic_store_n(&pool->ranges[i].word, rangeWord(startOf(i), startOf(i + 1)), __ATOMIC_RELAXED);
  }
  pool->fn = fn;
  pool->context = context;
  __atomic_store_n(&pool->callersProcessor, currentProcessor(), __ATOMIC_RELAXED);
  __atomic_store_n(&pool->running, static_cast<uint32_t>(pool->threads - 1), __ATOMIC_RELAXED);
  __atomic_add_fetch(&pool->job, 1, __ATOMIC_ACQ_REL);
  wakeAll(&pool->job);
  takeTasks(pool, 0);
  for (;;) {
    const uint32_t running = loadWord(&pool->running);
    if (running == 0) return;
    waitUntilDifferent(&pool->running, running);
  }
}

}  // namespace plusx
