// Recorded runs of the engine, as test/backend/native/case-file.ts writes them.
//
// A file is a sequence of little-endian words of 32 bits; i: signed, u: unsigned, f: float.
//
//   file     u 0x58534c50 ("PLSX"), u version = 2, u cases, then each case
//   case     text title, u arena bytes, u chunks, chunks, u steps, steps, u results, results
//   chunk    u offset, u bytes, the bytes: what the arena holds before the run
//   step     u words, i words (a program of one step, see executor/program.h),
//            u regions, (u offset, u bytes) each: all that the step may touch
//   result   text name, u offset, u bytes of a number, f tolerance, u values, f values: what the run
//            must leave there, as float32 (4 bytes) or bfloat16 (2)
//   text     u bytes, UTF-8
//
// Bytes and texts are filled up with zeros to a whole word. Offsets count bytes from the arena's
// start; what no chunk describes has any value.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace plusx::replay {

constexpr uint32_t kMagic = 0x58534c50;
constexpr uint32_t kVersion = 2;

struct Region {
  uint32_t offset, bytes;
};

struct Chunk {
  Region region;
  std::vector<char> data;
};

struct Step {
  std::vector<int32_t> program;
  std::vector<Region> regions;
};

struct Result {
  std::string name;
  uint32_t offset, bytesPerNumber;
  float tolerance;
  std::vector<float> values;
};

struct Case {
  std::string title;
  uint32_t arenaBytes;
  std::vector<Chunk> chunks;
  std::vector<Step> steps;
  std::vector<Result> results;
};

// Nothing where the file cannot be read or is no such file; all that it holds lies in its arenas.
std::optional<std::vector<Case>> readCases(const char* path);

}  // namespace plusx::replay
