// Runs recorded cases without Node: so sanitizers see nothing but the engine, and an emulator runs
// it for another processor. Built and called by npm run test:kernels.
//
//   replay [--set NAME] [--threads 1,2,3] FILE...
//
// Every case is run with every instruction set of this processor and every number of threads. Each
// result must be within its tolerance, and the same bits at any number of threads; no byte between
// the slots may change. Exits with 1 where something is wrong, with 2 where it cannot run.
//
// The arena is full of NaNs at first, so that a value read before it was written shows. Under
// AddressSanitizer a step may touch the slots that it names, and nothing else.
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "executor/executor.h"
#include "executor/instruction-sets.h"
#include "executor/owned-pool.h"
#include "test/case-file.h"

#if defined(PLUSX_ADDRESS_SANITIZER) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

using plusx::InstructionSet;
using plusx::OwnedPool;
using plusx::replay::Case;
using plusx::replay::Chunk;
using plusx::replay::Region;
using plusx::replay::Result;
using plusx::replay::Step;

constexpr size_t kAlignment = 64;
constexpr char kUnwritten = '\xff';  // four of them are a NaN

// What is being run, for the last words of a process that a sanitizer or a signal ends.
char currentRun[256] = "";

void nameCurrentRun() { std::fprintf(stderr, "replay: ended in %s\n", currentRun); }

void endBySignal(int number) {
  nameCurrentRun();
  std::_Exit(128 + number);
}

void nameRunAtDeath() {
#if defined(PLUSX_ADDRESS_SANITIZER) || defined(__SANITIZE_THREAD__)
  __sanitizer_set_death_callback(nameCurrentRun);
#else
  std::signal(SIGSEGV, endBySignal);
#endif
  // __builtin_trap raises one or the other.
  std::signal(SIGILL, endBySignal);
  std::signal(SIGTRAP, endBySignal);
}

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};

// Exactly as large as the case says, filled with what it holds before the run.
std::unique_ptr<char, Free> makeArena(const Case& recorded) {
  const size_t whole = (recorded.arenaBytes + kAlignment - 1) / kAlignment * kAlignment;
  std::unique_ptr<char, Free> arena(static_cast<char*>(std::aligned_alloc(kAlignment, whole)));
  if (!arena) std::abort();
  std::memset(arena.get(), kUnwritten, whole);
  for (const Chunk& chunk : recorded.chunks) {
    std::memcpy(arena.get() + chunk.region.offset, chunk.data.data(), chunk.data.size());
  }
  plusx::forbid(arena.get(), whole);
  return arena;
}

void runSteps(const Case& recorded, const InstructionSet& set, char* arena, OwnedPool& pool) {
  for (const Step& step : recorded.steps) {
    for (const Region& region : step.regions) plusx::allow(arena + region.offset, region.bytes);
    plusx::runProgram(set.table(), step.program.data(), static_cast<int64_t>(step.program.size()),
                      arena, pool.get(), nullptr);
    plusx::forbid(arena, recorded.arenaBytes);
  }
  plusx::allow(arena, recorded.arenaBytes);
}

// What a run left for a result; a bfloat16 is the upper half of a float.
std::vector<float> numbersOf(const Result& result, const char* arena) {
  std::vector<float> numbers(result.values.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    uint32_t bits = 0;
    char* upper = reinterpret_cast<char*>(&bits) + sizeof bits - result.bytesPerNumber;
    std::memcpy(upper, arena + result.offset + i * result.bytesPerNumber, result.bytesPerNumber);
    std::memcpy(&numbers[i], &bits, sizeof bits);
  }
  return numbers;
}

// Prints what is wrong with a run; counts it.
class Report {
 public:
  explicit Report(const Case& recorded) : recorded_(recorded) {}

  int failures() const { return failures_; }
  float worst() const { return worst_; }

  void check(const Result& result, const char* arena, const char* arenaOfOneThread) {
    const std::vector<float> found = numbersOf(result, arena);
    const std::vector<float> withOneThread = numbersOf(result, arenaOfOneThread);
    const size_t count = result.values.size();
    size_t wrong = 0, other = 0, firstWrong = 0, firstOther = 0;
    for (size_t i = count; i-- > 0;) {
      const float difference = std::fabs(found[i] - result.values[i]);
      if (difference > worst_ * result.tolerance) worst_ = difference / result.tolerance;
      if (!(difference <= result.tolerance)) ++wrong, firstWrong = i;
      if (std::memcmp(&found[i], &withOneThread[i], 4) != 0) ++other, firstOther = i;
    }
    if (wrong > 0) {
      fail("%s[%zu]: %.9g, expected %.9g within %.2g (%zu of %zu values are wrong)",
           result.name.c_str(), firstWrong, found[firstWrong], result.values[firstWrong],
           result.tolerance, wrong, count);
    }
    if (other > 0) {
      fail("%s[%zu]: %.9g, but %.9g with the first number of threads (%zu of %zu values differ)",
           result.name.c_str(), firstOther, found[firstOther], withOneThread[firstOther], other,
           count);
    }
  }

  // Between the slots lies what lay there before.
  void checkGaps(const char* arena) {
    std::vector<bool> used(recorded_.arenaBytes);
    const auto use = [&](const Region& region) {
      for (uint32_t i = 0; i < region.bytes; ++i) used[region.offset + i] = true;
    };
    for (const Chunk& chunk : recorded_.chunks) use(chunk.region);
    for (const Step& step : recorded_.steps) {
      for (const Region& region : step.regions) use(region);
    }
    for (uint32_t i = 0; i < recorded_.arenaBytes; ++i) {
      if (used[i] || arena[i] == kUnwritten) continue;
      return fail("byte %u of the arena changed, which belongs to no slot", i);
    }
  }

 private:
  template <typename... Values>
  void fail(const char* format, Values... values) {
    ++failures_;
    std::printf("%s: ", currentRun);
    std::printf(format, values...);
    std::printf("\n");
  }

  const Case& recorded_;
  int failures_ = 0;
  float worst_ = 0;
};

// Runs all cases with one instruction set; gives the number of failures.
int replay(const std::vector<Case>& cases, const InstructionSet& set,
           const std::vector<std::unique_ptr<OwnedPool>>& pools) {
  int failures = 0;
  float worst = 0;
  for (const Case& recorded : cases) {
    Report report(recorded);
    std::unique_ptr<char, Free> first;
    for (const auto& pool : pools) {
      std::snprintf(currentRun, sizeof currentRun, "%s, %s, threads %d", set.name,
                    recorded.title.c_str(), pool->get()->threads);
      std::unique_ptr<char, Free> arena = makeArena(recorded);
      runSteps(recorded, set, arena.get(), *pool);
      report.checkGaps(arena.get());
      const char* reference = first ? first.get() : arena.get();
      for (const Result& result : recorded.results) {
        report.check(result, arena.get(), reference);
      }
      if (!first) first = std::move(arena);
    }
    failures += report.failures();
    if (report.worst() > worst) worst = report.worst();
  }
  std::printf("%s: %zu cases, %d failures, at most %.2g of the tolerance\n", set.name,
              cases.size(), failures, worst);
  return failures;
}

int usage(const char* reason) {
  std::fprintf(stderr, "replay: %s\nreplay [--set NAME] [--threads 1,2,3] FILE...\n", reason);
  return 2;
}

}  // namespace

int main(int count, char** words) {
  std::string onlySet, threads = "1,2,3";
  std::vector<Case> cases;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--set" && i + 1 < count) {
      onlySet = words[++i];
    } else if (word == "--threads" && i + 1 < count) {
      threads = words[++i];
    } else if (auto read = plusx::replay::readCases(words[i])) {
      for (Case& recorded : *read) cases.push_back(std::move(recorded));
    } else {
      return usage((word + " is not a readable file of cases").c_str());
    }
  }
  if (cases.empty()) return usage("there is no case to run");

  std::vector<std::unique_ptr<OwnedPool>> pools;
  for (const char* at = threads.c_str(); *at != '\0';) {
    char* end;
    const long number = std::strtol(at, &end, 10);
    if (end == at || number < 1 || number > 64) return usage("threads are numbers from 1 to 64");
    pools.push_back(std::make_unique<OwnedPool>(static_cast<int32_t>(number)));
    // Scratch memory is garbage from the first case on.
    plusx::Pool* pool = pools.back()->get();
    std::memset(pool->shared, kUnwritten, plusx::kSharedScratchBytes);
    for (int32_t index = 0; index < pool->threads; ++index) {
      std::memset(plusx::threadScratch(pool, index), kUnwritten, plusx::kThreadScratchBytes);
    }
    at = *end == ',' ? end + 1 : end;
  }

  nameRunAtDeath();
  int failures = 0, sets = 0;
  for (const InstructionSet& set : plusx::instructionSets()) {
    if (!set.available || (!onlySet.empty() && onlySet != set.name)) continue;
    failures += replay(cases, set, pools);
    ++sets;
  }
  if (sets == 0) return usage("this processor has no such instruction set");
  return failures > 0 ? 1 : 0;
}
