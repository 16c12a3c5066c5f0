// The only place that knows Node-API: validates, and calls the executor. It holds no maths.
//
// Exports: instructionSets() → string[], best first; createPool(threads, instructionSet) → Pool;
// createArena(bytes) → Arena; growArena(arena, bytes); freeArena(arena);
// write(arena, offset, typedArray); read(arena, offset, typedArray);
// run(pool, arena, program: Int32Array) → Promise; profile(pool, arena, program) → Promise of the
// seconds of each step; measurePeaks(pool, arena) → Promise of flop/s and bytes/s. What is promised
// happens off the main thread. All memory goes with the garbage collector.
#include <node_api.h>

#include <cstring>
#include <memory>
#include <vector>

#include "arena.h"
#include "executor/executor.h"
#include "executor/instruction-sets.h"
#include "executor/owned-pool.h"
#include "executor/peaks.h"
#include "node-api.h"

namespace {

using plusx::InstructionSet;
using plusx::instructionSets;

// Threads, and the kernels that they run.
struct EnginePool {
  EnginePool(int32_t count, const plusx::KernelTable& table) : kernels(table), threads(count) {}

  const plusx::KernelTable& kernels;
  plusx::OwnedPool threads;
  bool busy = false;
};

constexpr napi_type_tag kPoolTag = {0x706c757378706f6full, 0x6c00000000000001ull};
constexpr napi_type_tag kArenaTag = {0x706c757378617265ull, 0x6e61000000000001ull};

napi_value listInstructionSets(napi_env env, napi_callback_info) {
  napi_value list;
  napi_create_array(env, &list);
  uint32_t index = 0;
  for (const InstructionSet& set : instructionSets()) {
    if (!set.available) continue;
    napi_value name;
    napi_create_string_utf8(env, set.name, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, index++, name);
  }
  return list;
}

napi_value createPool(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t threads;
  char name[32];
  if (!readArguments(env, info, values) ||
      napi_get_value_int32(env, values[0], &threads) != napi_ok || threads < 1 || threads > 1024 ||
      napi_get_value_string_utf8(env, values[1], name, sizeof name, nullptr) != napi_ok) {
    return fail(env, "internal: createPool takes (threads, instructionSet)");
  }
  for (const InstructionSet& set : instructionSets()) {
    if (!set.available || std::strcmp(set.name, name) != 0) continue;
    return wrap(env, std::make_unique<EnginePool>(threads, set.table()), kPoolTag);
  }
  return fail(env, "internal: this processor has no such instruction set");
}

bool growTo(napi_env env, Arena* arena, napi_value bytesValue) {
  int64_t bytes;
  if (arena->busy || napi_get_value_int64(env, bytesValue, &bytes) != napi_ok || bytes < 0) {
    fail(env, "internal: an arena grows to a number of bytes, between runs");
    return false;
  }
  if (!arena->grow(static_cast<size_t>(bytes))) {
    fail(env, "out of memory");
    return false;
  }
  return true;
}

napi_value createArena(napi_env env, napi_callback_info info) {
  napi_value values[1];
  if (!readArguments(env, info, values)) return fail(env, "internal: createArena takes (bytes)");
  auto arena = std::make_unique<Arena>();
  if (!growTo(env, arena.get(), values[0])) return nullptr;
  return wrap(env, std::move(arena), kArenaTag);
}

napi_value growArena(napi_env env, napi_callback_info info) {
  napi_value values[2];
  Arena* arena = readArguments(env, info, values) ? unwrap<Arena>(env, values[0], kArenaTag)
                                                  : nullptr;
  if (!arena) return fail(env, "internal: growArena takes (arena, bytes)");
  growTo(env, arena, values[1]);
  return nullptr;
}

napi_value freeArena(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Arena* arena = readArguments(env, info, values) ? unwrap<Arena>(env, values[0], kArenaTag)
                                                  : nullptr;
  if (!arena || arena->busy) return fail(env, "internal: freeArena takes an idle arena");
  arena->release();
  return nullptr;
}

// Of the types that tensors have.
size_t bytesPerElement(napi_typedarray_type type) {
  if (type == napi_float32_array || type == napi_int32_array) return 4;
  return type == napi_uint16_array ? 2 : 1;
}

// The memory of a slot and the typed array that mirrors it, both checked.
bool readTransfer(napi_env env, napi_callback_info info, char** slot, void** data, size_t* bytes) {
  napi_value values[3];
  int64_t offset;
  napi_typedarray_type type;
  size_t length;
  Arena* arena = readArguments(env, info, values) ? unwrap<Arena>(env, values[0], kArenaTag)
                                                  : nullptr;
  if (!arena || arena->busy || napi_get_value_int64(env, values[1], &offset) != napi_ok ||
      napi_get_typedarray_info(env, values[2], &type, &length, data, nullptr, nullptr) != napi_ok) {
    fail(env, "internal: a transfer takes (idle arena, offset, typed array)");
    return false;
  }
  *bytes = length * bytesPerElement(type);
  if (offset < 0 || static_cast<size_t>(offset) + *bytes > arena->bytes()) {
    fail(env, "internal: a transfer leaves the arena");
    return false;
  }
  *slot = arena->data() + offset;
  return true;
}

napi_value writeArena(napi_env env, napi_callback_info info) {
  char* slot;
  void* data;
  size_t bytes;
  if (readTransfer(env, info, &slot, &data, &bytes)) std::memcpy(slot, data, bytes);
  return nullptr;
}

napi_value readArena(napi_env env, napi_callback_info info) {
  char* slot;
  void* data;
  size_t bytes;
  if (readTransfer(env, info, &slot, &data, &bytes)) std::memcpy(data, slot, bytes);
  return nullptr;
}

// Work on a pool and an arena off the main thread, from its call to its promise.
struct Job {
  void (*work)(Job& job);
  std::vector<int32_t> program;
  std::vector<double> results;  // what the promise holds
  EnginePool* pool;
  Arena* arena;
  napi_deferred deferred;
  napi_async_work handle;
  napi_ref keep[2];  // pool and arena stay alive while they are used
};

void finishJob(napi_env env, napi_status, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  job->pool->busy = job->arena->busy = false;
  for (napi_ref reference : job->keep) napi_delete_reference(env, reference);
  napi_delete_async_work(env, job->handle);
  const size_t count = job->results.size();
  void* values = nullptr;
  napi_value buffer, results;
  napi_create_arraybuffer(env, count * sizeof(double), &values, &buffer);
  if (count > 0) std::memcpy(values, job->results.data(), count * sizeof(double));
  napi_create_typedarray(env, napi_float64_array, count, buffer, 0, &results);
  napi_resolve_deferred(env, job->deferred, results);
}

// Returns the promise; throws where one of the two values is not what it should be, or is in use.
napi_value startJob(napi_env env, napi_value poolValue, napi_value arenaValue,
                    std::unique_ptr<Job> job) {
  job->pool = unwrap<EnginePool>(env, poolValue, kPoolTag);
  job->arena = unwrap<Arena>(env, arenaValue, kArenaTag);
  if (!job->pool || !job->arena) return fail(env, "internal: a job takes (pool, arena)");
  if (job->pool->busy || job->arena->busy) {
    return fail(env, "internal: a run is already under way");
  }
  napi_value promise, name;
  napi_create_promise(env, &job->deferred, &promise);
  napi_create_string_utf8(env, "plusx", NAPI_AUTO_LENGTH, &name);
  napi_create_reference(env, poolValue, 1, &job->keep[0]);
  napi_create_reference(env, arenaValue, 1, &job->keep[1]);
  const auto execute = [](napi_env, void* data) {
    Job* started = static_cast<Job*>(data);
    started->work(*started);
  };
  napi_create_async_work(env, nullptr, name, execute, finishJob, job.get(), &job->handle);
  job->pool->busy = job->arena->busy = true;
  napi_queue_async_work(env, job.release()->handle);
  return promise;
}

napi_value startProgram(napi_env env, napi_callback_info info, bool timed) {
  napi_value values[3];
  napi_typedarray_type type;
  size_t length;
  void* words;
  if (!readArguments(env, info, values) ||
      napi_get_typedarray_info(env, values[2], &type, &length, &words, nullptr, nullptr) !=
          napi_ok ||
      type != napi_int32_array) {
    return fail(env, "internal: a run takes (pool, arena, program)");
  }
  const int32_t* program = static_cast<const int32_t*>(words);
  const int64_t steps = plusx::programSteps(program, static_cast<int64_t>(length));
  if (steps < 0) return fail(env, "internal: the program is malformed");

  auto job = std::make_unique<Job>();
  job->program.assign(program, program + length);
  if (timed) job->results.resize(static_cast<size_t>(steps));
  job->work = [](Job& started) {
    plusx::runProgram(started.pool->kernels, started.program.data(),
                      static_cast<int64_t>(started.program.size()), started.arena->data(),
                      started.pool->threads.get(),
                      started.results.empty() ? nullptr : started.results.data());
  };
  return startJob(env, values[0], values[1], std::move(job));
}

napi_value runPlan(napi_env env, napi_callback_info info) { return startProgram(env, info, false); }

napi_value profilePlan(napi_env env, napi_callback_info info) {
  return startProgram(env, info, true);
}

napi_value measurePeaks(napi_env env, napi_callback_info info) {
  napi_value values[2];
  if (!readArguments(env, info, values)) {
    return fail(env, "internal: measurePeaks takes (pool, arena)");
  }
  auto job = std::make_unique<Job>();
  job->work = [](Job& started) {
    const plusx::Peaks peaks =
        plusx::measurePeaks(started.pool->kernels, started.arena->data(),
                            static_cast<int64_t>(started.arena->bytes()), started.pool->threads.get());
    started.results = {peaks.flopsPerSecond, peaks.bytesPerSecond};
  };
  return startJob(env, values[0], values[1], std::move(job));
}

}  // namespace

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback callback;
  } functions[] = {
      {"instructionSets", listInstructionSets},
      {"createPool", createPool},
      {"createArena", createArena},
      {"growArena", growArena},
      {"freeArena", freeArena},
      {"write", writeArena},
      {"read", readArena},
      {"run", runPlan},
      {"profile", profilePlan},
      {"measurePeaks", measurePeaks},
  };
  for (const auto& function : functions) {
    napi_value value;
    napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, nullptr, &value);
    napi_set_named_property(env, exports, function.name, value);
  }
  return exports;
}
