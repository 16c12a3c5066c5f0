#include "cross-entropy.h"

#include "simd/math.h"

namespace plusx::PLUSX_ISA {

namespace {

double largestOf(const float* row, int32_t K) {
  double largest = row[0];
  for (int32_t k = 1; k < K; ++k) {
    if (static_cast<double>(row[k]) > largest) largest = row[k];
  }
  return largest;
}

double sumOfExponentials(const float* row, int32_t K, double largest) {
  double sum = 0.0;
  for (int32_t k = 0; k < K; ++k) sum += exponential(static_cast<double>(row[k]) - largest);
  return sum;
}

}  // namespace

void softmaxCrossEntropy(Arguments a, Pool*) {
  const float* logits = a.floats();
  const int32_t* labels = static_cast<const int32_t*>(a.slot());
  float* loss = a.floats();
  const int32_t N = a.integer(), K = a.integer();
  double total = 0.0;
  for (int32_t n = 0; n < N; ++n) {
    const float* row = logits + static_cast<int64_t>(n) * K;
    const double largest = largestOf(row, K);
    const double sum = sumOfExponentials(row, K, largest);
    // NaN or infinite logits must not pass through the logarithm's bit tricks.
    const bool finite = sum - sum == 0.0;
    total += finite ? largest + logarithm(sum) - static_cast<double>(row[labels[n]])
                    : static_cast<double>(__builtin_nanf(""));
  }
  *loss = static_cast<float>(total / N);
}

void softmaxCrossEntropyBackward(Arguments a, Pool*) {
  const float* dloss = a.floats();
  const float* logits = a.floats();
  const int32_t* labels = static_cast<const int32_t*>(a.slot());
  float* dlogits = a.floats();
  const int32_t N = a.integer(), K = a.integer();
  const double scale = static_cast<double>(*dloss) / N;
  for (int32_t n = 0; n < N; ++n) {
    const float* row = logits + static_cast<int64_t>(n) * K;
    float* to = dlogits + static_cast<int64_t>(n) * K;
    const double largest = largestOf(row, K);
    const double sum = sumOfExponentials(row, K, largest);
    for (int32_t k = 0; k < K; ++k) {
      const double probability = exponential(static_cast<double>(row[k]) - largest) / sum;
      to[k] = static_cast<float>(scale * (probability - (k == labels[n] ? 1.0 : 0.0)));
    }
  }
}

}  // namespace plusx::PLUSX_ISA
