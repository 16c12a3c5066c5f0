#include "dropout.h"

namespace plusx::PLUSX_ISA {

namespace {

// Blocks of four words drawn side by side, so that the compiler puts them into vectors.
constexpr int kBlocks = 16;
constexpr int kWords = 4 * kBlocks;

// words[i][b]: word i of the block at counter (first + b, layer, stepLow, stepHigh).
void drawBlocks(uint32_t first, uint32_t layer, const uint32_t* randomness,
                uint32_t (*words)[kBlocks]) {
  uint32_t key0 = randomness[0], key1 = randomness[1];
  for (int b = 0; b < kBlocks; ++b) {
    words[0][b] = first + static_cast<uint32_t>(b);
    words[1][b] = layer;
    words[2][b] = randomness[2];
    words[3][b] = randomness[3];
  }
  for (int round = 0; round < 10; ++round) {
    for (int b = 0; b < kBlocks; ++b) {
      const uint64_t a = uint64_t{0xd2511f53u} * words[0][b];
      const uint64_t c = uint64_t{0xcd9e8d57u} * words[2][b];
      words[0][b] = static_cast<uint32_t>(c >> 32) ^ words[1][b] ^ key0;
      words[2][b] = static_cast<uint32_t>(a >> 32) ^ words[3][b] ^ key1;
      words[1][b] = static_cast<uint32_t>(c);
      words[3][b] = static_cast<uint32_t>(a);
    }
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

}  // namespace

void dropout(Arguments a, Pool* pool) {
  const float* x = a.floats();
  const uint32_t* randomness = static_cast<const uint32_t*>(a.slot());
  float* y = a.floats();
  const int64_t count = a.integer();
  const uint32_t layer = static_cast<uint32_t>(a.integer());
  const uint32_t threshold = static_cast<uint32_t>(a.integer());
  const float kept = a.number();
  constexpr int64_t kTaskElements = 16384;
  static_assert(kTaskElements % kWords == 0);
  const int32_t tasks = static_cast<int32_t>((count + kTaskElements - 1) / kTaskElements);
  parallelFor(pool, tasks, [&](int32_t task, char*) {
    const int64_t first = task * kTaskElements;
    const int64_t end = first + kTaskElements < count ? first + kTaskElements : count;
    for (int64_t i = first; i < end; i += kWords) {
      uint32_t words[4][kBlocks];
      drawBlocks(static_cast<uint32_t>(i / 4), layer, randomness, words);
      const int32_t left = static_cast<int32_t>(end - i < kWords ? end - i : kWords);
      for (int32_t e = 0; e < left; ++e) {
        // A NaN stays one, dropped or not: a diverging run must be seen.
        y[i + e] = x[i + e] * (words[e % 4][e / 4] < threshold ? 0.0f : kept);
      }
    }
  });
}

}  // namespace plusx::PLUSX_ISA
