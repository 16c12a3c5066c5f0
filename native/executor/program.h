// The program: a Plan as 32-bit integers, written by src/backend/program.ts.
//
// Each step is [opcode, number of arguments, arguments...]. A slot is its offset in units of 64
// bytes, -1 for none; a float is its bits. An opcode is the number of a kind in the order of
// program.ts (a test holds both together), plus the number of all kinds where maps are bfloat16.
#pragma once
#include <cstdint>

#include "pool.h"

// FLOATS: kinds that know only floats. MAPS: kinds that come with maps of floats or of bfloat16.
#define PLUSX_STEPS(FLOATS, MAPS)      \
  MAPS(normalizeImage)                 \
  MAPS(conv2d)                         \
  FLOATS(packWeight)                   \
  FLOATS(conv2dInference)              \
  MAPS(conv2dBackwardInput)            \
  MAPS(conv2dBackwardWeight)           \
  FLOATS(matmul)                       \
  MAPS(addBias)                        \
  MAPS(sumToChannels)                  \
  MAPS(batchNormStatistics)            \
  FLOATS(batchNormFold)                \
  MAPS(scaleShift)                     \
  MAPS(batchNormBackwardSums)          \
  MAPS(reluBackwardSums)               \
  MAPS(batchNormBackwardInput)         \
  MAPS(relu)                           \
  MAPS(reluBackward)                   \
  MAPS(add)                            \
  FLOATS(sigmoid)                      \
  FLOATS(sigmoidBackward)              \
  MAPS(scaleChannels)                  \
  MAPS(scaleChannelsBackward)          \
  FLOATS(dropout)                      \
  MAPS(identityShortcut)               \
  MAPS(identityShortcutBackward)       \
  MAPS(maxPool2d)                      \
  MAPS(maxPool2dBackward)              \
  MAPS(avgPool2d)                      \
  MAPS(avgPool2dBackward)              \
  MAPS(adaptiveAvgPool2d)              \
  MAPS(adaptiveAvgPool2dBackward)      \
  FLOATS(nhwcToNchw)                   \
  FLOATS(nchwToNhwc)                   \
  FLOATS(softmaxCrossEntropy)          \
  FLOATS(softmaxCrossEntropyBackward)  \
  FLOATS(fill)                         \
  FLOATS(sgd)                          \
  FLOATS(adamW)

namespace plusx {

enum class StepKind : int32_t {
#define PLUSX_ENUM(name) name,
  PLUSX_STEPS(PLUSX_ENUM, PLUSX_ENUM)
#undef PLUSX_ENUM
      count
};

constexpr int32_t kStepKinds = static_cast<int32_t>(StepKind::count);
constexpr int32_t kOpcodes = 2 * kStepKinds;

constexpr bool kHasMaps[] = {
#define PLUSX_FALSE(name) false,
#define PLUSX_TRUE(name) true,
    PLUSX_STEPS(PLUSX_FALSE, PLUSX_TRUE)
#undef PLUSX_FALSE
#undef PLUSX_TRUE
};

inline bool isOpcode(int32_t opcode) {
  if (opcode < 0 || opcode >= kOpcodes) return false;
  return opcode < kStepKinds || kHasMaps[opcode - kStepKinds];
}

// Reads the arguments of one step in their order.
class Arguments {
 public:
  Arguments(const int32_t* next, char* arena) : next_(next), arena_(arena) {}
  int32_t integer() { return *next_++; }
  float number() {
    float value;
    __builtin_memcpy(&value, next_++, sizeof value);
    return value;
  }
  float* floats() { return tensor<float>(); }
  // In a map, `Map` is what an element is.
  template <typename Map>
  Map* tensor() {
    return static_cast<Map*>(slot());
  }
  void* slot() {
    const int32_t unit = *next_++;
    return unit < 0 ? nullptr : arena_ + static_cast<int64_t>(unit) * 64;
  }

 private:
  const int32_t* next_;
  char* arena_;
};

using StepFunction = void (*)(Arguments arguments, Pool* pool);

// The code of one instruction set.
struct KernelTable {
  StepFunction run[kOpcodes];
  // What the machine can do at most: see kernels/measure.
  double (*multiplyAdds)(Pool* pool);
  double (*stream)(float* x, int64_t count, Pool* pool);
};

}  // namespace plusx
