// The thread pool: one job at a time. Each thread has a range of its tasks, which it takes from the front;
// who has done its own takes others' from the back. So a thread's next task is nearly always the neighbour
// of this one, and in each job it has about the same part of the batch: that lies in the caches near it.
//
// What a task computes depends on its number alone, never on the thread that runs it or on how
// many there are: so the bits of a result do not depend on the threads.
#pragma once
#include <cstddef>
#include <cstdint>

namespace plusx {

constexpr size_t kThreadScratchBytes = size_t{8} << 20;
constexpr size_t kSharedScratchBytes = size_t{4} << 20;
// Behind the shared scratch and behind each thread's: a redzone under AddressSanitizer.
constexpr size_t kScratchGapBytes = 64;

// fn(context, task, scratch): `scratch` is the running thread's own kThreadScratchBytes.
using TaskFunction = void (*)(void* context, int32_t task, char* scratch);

// What is left of a thread's tasks: begin, and in the upper half end. A cache line of its own.
struct TaskRange {
  alignas(64) uint64_t word;
};

struct Pool {
  int32_t threads;   // the caller of parallelFor included
  char* scratch;     // threads * (kThreadScratchBytes + kScratchGapBytes), see threadScratch
  char* shared;      // kSharedScratchBytes, for the sums of one job
  TaskRange* ranges;  // of each thread
  uint32_t job;      // counts jobs: the word that idle workers sleep on
  uint32_t running;  // workers that have not left the job: the word that the caller sleeps on
  uint32_t stopped;  // 1: workers leave
  int32_t callersProcessor;  // where the caller of the current job runs, -1 where there is no telling
  TaskFunction fn;
  void* context;
};

// The scratch of thread `index`, 0 being the caller of parallelFor.
inline char* threadScratch(const Pool* pool, int32_t index) {
  return pool->scratch + static_cast<size_t>(index) * (kThreadScratchBytes + kScratchGapBytes);
}

// Bytes that a pool's `ranges`, `shared` and `scratch` take together.
size_t poolMemoryBytes(int32_t threads);
void poolInit(Pool* pool, int32_t threads, char* memory);
// The life of worker `index` (1 .. threads - 1); returns after poolStop.
void poolWorker(Pool* pool, int32_t index);
void poolStop(Pool* pool);
// Runs all tasks and returns when the last is done.
void poolRun(Pool* pool, int32_t tasks, TaskFunction fn, void* context);

// As poolRun, for a callable body(task, scratch).
template <typename Body>
void parallelFor(Pool* pool, int32_t tasks, const Body& body) {
  poolRun(
      pool, tasks,
      [](void* context, int32_t task, char* scratch) {
        (*static_cast<const Body*>(context))(task, scratch);
      },
      const_cast<Body*>(&body));
}

}  // namespace plusx
