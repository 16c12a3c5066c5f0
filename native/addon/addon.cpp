// The only place that knows Node-API: validates, and calls the executor. It holds no maths.
//
// Exports: instructionSets() → string[], best first; createPool(threads, instructionSet) → Pool;
// createArena(bytes) → Arena; growArena(arena, bytes); freeArena(arena);
// write(arena, offset, typedArray); read(arena, offset, typedArray);
// run(pool, arena, program: Int32Array) → Promise, off the main thread. All memory goes with the garbage
// collector.
#include <node_api.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "executor/executor.h"
#include "executor/instruction-sets.h"
#include "executor/owned-pool.h"
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

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

napi_value fail(napi_env env, const char* message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}

template <int Count>
bool readArguments(napi_env env, napi_callback_info info, napi_value (&values)[Count]) {
  size_t count = Count;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok &&
         count == Count;
}

constexpr napi_type_tag kPoolTag = {0x706c757378706f6full, 0x6c00000000000001ull};
constexpr napi_type_tag kArenaTag = {0x706c757378617265ull, 0x6e61000000000001ull};

template <typename T>
T* unwrap(napi_env env, napi_value value, const napi_type_tag& tag) {
  bool matches = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, value, &tag, &matches) != napi_ok || !matches) return nullptr;
  return napi_unwrap(env, value, &data) == napi_ok ? static_cast<T*>(data) : nullptr;
}

template <typename T>
napi_value wrap(napi_env env, std::unique_ptr<T> object, const napi_type_tag& tag) {
  napi_value value;
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  if (napi_create_object(env, &value) != napi_ok ||
      napi_wrap(env, value, object.get(), finalize, nullptr, nullptr) != napi_ok) {
    return fail(env, "internal: an object could not be wrapped");
  }
  object.release();
  napi_type_tag_object(env, value, &tag);
  return value;
}

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
  *bytes = length * (type == napi_float32_array || type == napi_int32_array ? 4 : 1);
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

// One run of a program, from its call to its promise.
struct Run {
  EnginePool* pool;
  Arena* arena;
  std::vector<int32_t> program;
  napi_deferred deferred;
  napi_async_work work;
  napi_ref keep[2];  // pool and arena stay alive while they are used
};

void finishRun(napi_env env, napi_status, void* data) {
  std::unique_ptr<Run> run(static_cast<Run*>(data));
  run->pool->busy = run->arena->busy = false;
  for (napi_ref reference : run->keep) napi_delete_reference(env, reference);
  napi_delete_async_work(env, run->work);
  napi_value undefined;
  napi_get_undefined(env, &undefined);
  napi_resolve_deferred(env, run->deferred, undefined);
}

napi_value runPlan(napi_env env, napi_callback_info info) {
  napi_value values[3];
  if (!readArguments(env, info, values)) {
    return fail(env, "internal: run takes (pool, arena, program)");
  }
  EnginePool* pool = unwrap<EnginePool>(env, values[0], kPoolTag);
  Arena* arena = unwrap<Arena>(env, values[1], kArenaTag);
  napi_typedarray_type type;
  size_t length;
  void* words;
  if (!pool || !arena ||
      napi_get_typedarray_info(env, values[2], &type, &length, &words, nullptr, nullptr) !=
          napi_ok ||
      type != napi_int32_array) {
    return fail(env, "internal: run takes (pool, arena, program)");
  }
  if (pool->busy || arena->busy) return fail(env, "internal: a run is already under way");
  const int32_t* program = static_cast<const int32_t*>(words);
  if (!plusx::programIsValid(program, static_cast<int64_t>(length))) {
    return fail(env, "internal: the program is malformed");
  }

  auto run = std::make_unique<Run>();
  run->pool = pool;
  run->arena = arena;
  run->program.assign(program, program + length);
  napi_value promise, name;
  napi_create_promise(env, &run->deferred, &promise);
  napi_create_string_utf8(env, "plusx.run", NAPI_AUTO_LENGTH, &name);
  napi_create_reference(env, values[0], 1, &run->keep[0]);
  napi_create_reference(env, values[1], 1, &run->keep[1]);
  const auto execute = [](napi_env, void* data) {
    Run* job = static_cast<Run*>(data);
    plusx::runProgram(job->pool->kernels, job->program.data(),
                      static_cast<int64_t>(job->program.size()), job->arena->data(),
                      job->pool->threads.get());
  };
  napi_create_async_work(env, nullptr, name, execute, finishRun, run.get(), &run->work);
  pool->busy = arena->busy = true;
  napi_queue_async_work(env, run.release()->work);
  return promise;
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
  };
  for (const auto& function : functions) {
    napi_value value;
    napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, nullptr, &value);
    napi_set_named_property(env, exports, function.name, value);
  }
  return exports;
}
