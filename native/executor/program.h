// The program: a Plan as 32-bit integers, written by src/backend/program.ts.
//
// Each step is [opcode, number of arguments, arguments...]. A slot is its offset in units of 64
// bytes, -1 for none; a float is its bits. The order of the kinds is that of program.ts; a test
// holds both together.
#pragma once
#include <cstdint>

#include "pool.h"

#define PLUSX_STEPS(X)          \
  X(normalizeImage)             \
  X(conv2d)                     \
  X(packWeight)                 \
  X(conv2dInference)            \
  X(conv2dBackwardInput)        \
  X(conv2dBackwardWeight)       \
  X(matmul)                     \
  X(addBias)                    \
  X(sumToChannels)              \
  X(batchNormStatistics)        \
  X(batchNormFold)              \
  X(scaleShift)                 \
  X(batchNormBackwardSums)      \
  X(batchNormBackwardInput)     \
  X(relu)                       \
  X(reluBackward)               \
  X(add)                        \
  X(sigmoid)                    \
  X(sigmoidBackward)            \
  X(scaleChannels)              \
  X(scaleChannelsBackward)      \
  X(dropout)                    \
  X(identityShortcut)           \
  X(identityShortcutBackward)   \
  X(maxPool2d)                  \
  X(maxPool2dBackward)          \
  X(avgPool2d)                  \
  X(avgPool2dBackward)          \
  X(adaptiveAvgPool2d)          \
  X(adaptiveAvgPool2dBackward)  \
  X(nhwcToNchw)                 \
  X(nchwToNhwc)                 \
  X(softmaxCrossEntropy)        \
  X(softmaxCrossEntropyBackward) \
  X(fill)                       \
  X(sgd)                        \
  X(adamW)

namespace plusx {

enum class Opcode : int32_t {
#define PLUSX_ENUM(name) name,
  PLUSX_STEPS(PLUSX_ENUM)
#undef PLUSX_ENUM
      count
};

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
  float* floats() { return static_cast<float*>(slot()); }
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
  StepFunction run[static_cast<int>(Opcode::count)];  // by opcode
  // What the machine can do at most: see kernels/measure.
  double (*multiplyAdds)(Pool* pool);
  double (*stream)(float* x, int64_t count, Pool* pool);
};

}  // namespace plusx
