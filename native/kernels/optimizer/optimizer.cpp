#include "optimizer.h"

namespace plusx::PLUSX_ISA {

namespace {

constexpr int64_t kTaskParameters = 32768;

template <typename Body>
void eachParameter(Pool* pool, int64_t count, const Body& body) {
  const int32_t tasks = static_cast<int32_t>((count + kTaskParameters - 1) / kTaskParameters);
  parallelFor(pool, tasks, [&](int32_t task, char*) {
    const int64_t first = task * kTaskParameters;
    const int64_t end = first + kTaskParameters < count ? first + kTaskParameters : count;
    for (int64_t i = first; i < end; ++i) body(i);
  });
}

}  // namespace

void sgd(Arguments a, Pool* pool) {
  float* parameter = a.floats();
  const float* dparameter = a.floats();
  float* velocity = a.floats();
  const float lr = *a.floats();
  const int32_t count = a.integer();
  const float momentum = a.number(), weightDecay = a.number();
  const bool nesterov = a.integer() != 0;
  if (!velocity) {
    eachParameter(pool, count, [&](int64_t i) {
      parameter[i] -= lr * (dparameter[i] + weightDecay * parameter[i]);
    });
    return;
  }
  eachParameter(pool, count, [&](int64_t i) {
    const float gradient = dparameter[i] + weightDecay * parameter[i];
    const float speed = momentum * velocity[i] + gradient;
    velocity[i] = speed;
    parameter[i] -= lr * (nesterov ? gradient + momentum * speed : speed);
  });
}

void adamW(Arguments a, Pool* pool) {
  float* parameter = a.floats();
  const float* dparameter = a.floats();
  float* m = a.floats();
  float* v = a.floats();
  const float* hyper = a.floats();
  const int32_t count = a.integer();
  const float beta1 = a.number(), beta2 = a.number();
  // Rounded from doubles: 1.0f - 0.999f is 1.3e-5 off 0.001.
  const float gain1 = a.number(), gain2 = a.number();
  const float eps = a.number(), weightDecay = a.number();
  const float lr = hyper[0], stepSize = lr / hyper[1], decay = 1.0f - lr * weightDecay;
  const float rootCorrection = __builtin_sqrtf(hyper[2]);
  eachParameter(pool, count, [&](int64_t i) {
    const float gradient = dparameter[i];
    const float mean = beta1 * m[i] + gain1 * gradient;
    const float square = beta2 * v[i] + gain2 * gradient * gradient;
    m[i] = mean;
    v[i] = square;
    const float denominator = __builtin_sqrtf(square) / rootCorrection + eps;
    parameter[i] = parameter[i] * decay - stepSize * mean / denominator;
  });
}

}  // namespace plusx::PLUSX_ISA
