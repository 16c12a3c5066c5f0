#include "rows.h"

namespace plusx::PLUSX_ISA {

namespace {

// Sum of squared deviations from the mean, beside count and mean.
struct Moments {
  double count, mean, squares;
};

// What a channel's moments become.
struct Channels {
  const float *weight, *bias;
  float *runningMean, *runningVar, *scale, *shift, *mean, *invStd;
  double momentum, eps;
};

void finish(const Channels& to, int32_t c, const Moments& moments) {
  const double inverse = 1.0 / __builtin_sqrt(moments.squares / moments.count + to.eps);
  const double scale = inverse * static_cast<double>(to.weight[c]);
  to.mean[c] = static_cast<float>(moments.mean);
  to.invStd[c] = static_cast<float>(inverse);
  to.scale[c] = static_cast<float>(scale);
  to.shift[c] = static_cast<float>(static_cast<double>(to.bias[c]) - moments.mean * scale);
  // A single value has no sample variance: nothing is learnt from it.
  if (moments.count == 1.0) return;
  const auto blend = [&](float& running, double statistic) {
    running = static_cast<float>((1.0 - to.momentum) * static_cast<double>(running) +
                                 to.momentum * statistic);
  };
  blend(to.runningMean[c], moments.mean);
  blend(to.runningVar[c], moments.squares / (moments.count - 1.0));
}

// Sums around the first row: a value of the same distribution, so that nothing cancels.
template <typename Map>
void finishFromRows(const Map* x, int64_t M, int32_t C, const Channels& to, Pool* pool) {
  sumRows<2>(
      pool, M, C,
      [=](int64_t i, int32_t c, Vector(&part)[2]) {
        const Vector deviation = load(x + i * C + c) - load(x + c);
        part[0] += deviation;
        part[1] += deviation * deviation;
      },
      [=](int64_t i, int32_t c, float(&part)[2]) {
        const float deviation = static_cast<float>(x[i * C + c]) - static_cast<float>(x[c]);
        part[0] += deviation;
        part[1] += deviation * deviation;
      });
  const double* totals = reinterpret_cast<const double*>(pool->shared);
  const double count = static_cast<double>(M);
  for (int32_t c = 0; c < C; ++c) {
    const double sum = totals[c], shift = sum / count;
    const double squares = totals[C + c] - sum * shift;
    const double mean = static_cast<double>(static_cast<float>(x[c])) + shift;
    finish(to, c, {count, mean, squares < 0.0 ? 0.0 : squares});
  }
}

// Channels of one task of finishFromPartials: a cache line of them.
constexpr int32_t kTaskChannels = 16;

// Of the union of all blocks' samples: the mean of their means, then what lies within the blocks and
// between them.
void finishFromPartials(const float* partials, int32_t blocks, int32_t C, const Channels& to,
                        Pool* pool) {
  parallelFor(pool, (C + kTaskChannels - 1) / kTaskChannels, [&](int32_t task, char*) {
    const int32_t first = task * kTaskChannels;
    const int32_t channels = C - first < kTaskChannels ? C - first : kTaskChannels;
    const auto eachBlock = [&](const auto& body) {
      const float* counts = partials + first;
      for (int32_t block = 0; block < blocks; ++block, counts += 3 * int64_t{C}) {
        const float *means = counts + C, *squares = means + C;
        for (int32_t c = 0; c < channels; ++c) {
          body(c, static_cast<double>(counts[c]), static_cast<double>(means[c]),
               static_cast<double>(squares[c]));
        }
      }
    };
    Moments moments[kTaskChannels] = {};
    eachBlock([&](int32_t c, double count, double mean, double) {
      moments[c].count += count;
      moments[c].mean += count * mean;
    });
    for (int32_t c = 0; c < channels; ++c) moments[c].mean /= moments[c].count;
    eachBlock([&](int32_t c, double count, double mean, double squares) {
      const double difference = mean - moments[c].mean;
      moments[c].squares += squares + count * difference * difference;
    });
    for (int32_t c = 0; c < channels; ++c) finish(to, first + c, moments[c]);
  });
}

// body(offset, c, lanes) for every vector of (M, C), in the order of memory: what belongs to a channel is
// read again for each row, from the first cache. `body` is a closure, of which each task has its copy: after a
// store, what it had by reference would have to be loaded again.
template <typename Body>
void eachVector(Pool* pool, int64_t M, int32_t C, const Body& body) {
  const int64_t rows = lesser(M, 1 + 65536 / C);
  const int32_t tasks = static_cast<int32_t>((M + rows - 1) / rows);
  parallelFor(pool, tasks, [=](int32_t task, char*) {
    const Body own = body;
    const int32_t channels = C;
    const int64_t end = lesser((task + int64_t{1}) * rows, M);
    for (int64_t i = task * rows; i < end; ++i) {
      int32_t c = 0;
      for (; c + kWidth <= channels; c += kWidth) own(i * channels + c, c, kWidth);
      if (c < channels) own(i * channels + c, c, channels - c);
    }
  });
}

// What the sums of a gradient, and of it times x - mean, become.
struct GradientSums {
  const float *weight, *invStd;
  float *dweight, *dbias, *factors;
  int64_t M;
  int32_t C;
  bool running;
};

GradientSums readGradientSums(Arguments& a, const float* weight, const float* invStd) {
  float* dweight = a.floats();
  float* dbias = a.floats();
  float* factors = a.floats();
  const int64_t M = a.integer();
  const int32_t C = a.integer(), running = a.integer();
  return {weight, invStd, dweight, dbias, factors, M, C, running != 0};
}

void finish(const GradientSums& to, Pool* pool) {
  const double* totals = reinterpret_cast<const double*>(pool->shared);
  const int32_t C = to.C;
  copyTotals(pool, C, 0, to.dbias);
  const double count = static_cast<double>(to.M);
  for (int32_t c = 0; c < C; ++c) {
    const double inverse = to.invStd[c], factor = inverse * static_cast<double>(to.weight[c]);
    to.dweight[c] = static_cast<float>(totals[C + c] * inverse);
    to.factors[c] = static_cast<float>(factor);
    const double slope = totals[C + c] * inverse * inverse / count, average = totals[c] / count;
    to.factors[C + c] = to.running ? 0.0f : static_cast<float>(slope);
    to.factors[2 * C + c] = to.running ? 0.0f : static_cast<float>(average);
  }
}

Vector positive(const Vector& value) { return value <= Vector{} ? Vector{} : value; }

}  // namespace

template <typename Map>
void batchNormStatistics(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  const float* partials = a.floats();
  const float* weight = a.floats();
  const float* bias = a.floats();
  float* runningMean = a.floats();
  float* runningVar = a.floats();
  float* scale = a.floats();
  float* shift = a.floats();
  float* mean = a.floats();
  float* invStd = a.floats();
  const int64_t M = a.integer();
  const int32_t C = a.integer(), blocks = a.integer();
  const double momentum = a.number(), eps = a.number();
  const Channels to = {weight, bias,  runningMean, runningVar, scale,
                       shift,  mean,  invStd,      momentum,   eps};
  if (partials) {
    finishFromPartials(partials, blocks, C, to, pool);
  } else {
    finishFromRows(x, M, C, to, pool);
  }
}

void batchNormFold(Arguments a, Pool*) {
  const float* weight = a.floats();
  const float* bias = a.floats();
  const float* runningMean = a.floats();
  const float* runningVar = a.floats();
  float* scale = a.floats();
  float* shift = a.floats();
  const int32_t C = a.integer();
  const double eps = a.number();
  for (int32_t c = 0; c < C; ++c) {
    const double factor = static_cast<double>(weight[c]) /
                          __builtin_sqrt(static_cast<double>(runningVar[c]) + eps);
    scale[c] = static_cast<float>(factor);
    shift[c] = static_cast<float>(static_cast<double>(bias[c]) -
                                  static_cast<double>(runningMean[c]) * factor);
  }
}

template <typename Map>
void scaleShift(Arguments a, Pool* pool) {
  const Map* x = a.tensor<Map>();
  const float* scale = a.floats();
  const float* shift = a.floats();
  const Map* residual = a.tensor<Map>();
  const float* residualScale = a.floats();
  const float* residualShift = a.floats();
  Map* y = a.tensor<Map>();
  const int64_t M = a.integer();
  const int32_t C = a.integer(), relu = a.integer(), residualRelu = a.integer();
  const bool streaming = streams<Map>(M, C);
  eachVector(pool, M, C, PLUSX_CLOSURE(int64_t at, int32_t c, int32_t lanes) {
    Vector value = loadLanes(x + at, lanes) * loadLanes(scale + c, lanes);
    value += loadLanes(shift + c, lanes);
    if (residualScale) {
      Vector mapped = loadLanes(residual + at, lanes) * loadLanes(residualScale + c, lanes);
      mapped += loadLanes(residualShift + c, lanes);
      value += residualRelu ? positive(mapped) : mapped;
    } else if (residual) {
      value += loadLanes(residual + at, lanes);
    }
    storeMap(y + at, relu ? positive(value) : value, lanes, streaming);
  });
}

template <typename Map>
void batchNormBackwardSums(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  const Map* x = a.tensor<Map>();
  const float* weight = a.floats();
  const float* mean = a.floats();
  const float* invStd = a.floats();
  const float* scale = a.floats();
  const float* shift = a.floats();
  const GradientSums to = readGradientSums(a, weight, invStd);
  const int32_t C = to.C;
  sumRows<2>(
      pool, to.M, C,
      [=](int64_t i, int32_t c, Vector(&part)[2]) {
        const Vector value = load(x + i * C + c);
        Vector g = unmasked(load(dy + i * C + c));
        if (scale) {
          const Vector input = value * load(scale + c) + load(shift + c);
          g = input > Vector{} ? g : Vector{};
        }
        part[0] += g;
        part[1] += g * (value - load(mean + c));
      },
      [=](int64_t i, int32_t c, float(&part)[2]) {
        const float value = x[i * C + c];
        float g = dy[i * C + c];
        if (scale && !(value * scale[c] + shift[c] > 0.0f)) g = 0.0f;
        part[0] += g;
        part[1] += g * (value - mean[c]);
      });
  finish(to, pool);
}

template <typename Map>
void reluBackwardSums(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  const Map* y = a.tensor<Map>();
  const Map* other = a.tensor<Map>();
  const Map* x = a.tensor<Map>();
  const float* weight = a.floats();
  const float* mean = a.floats();
  const float* invStd = a.floats();
  Map* g = a.tensor<Map>();
  const GradientSums to = readGradientSums(a, weight, invStd);
  const int32_t C = to.C;
  // What is summed is what is stored: of bfloat16 the rounded gradient.
  sumRows<2>(
      pool, to.M, C,
      [=](int64_t i, int32_t c, Vector(&part)[2]) {
        const int64_t at = i * C + c;
        Vector sum = load(dy + at);
        if (other) sum += load(other + at);
        store(g + at, load(y + at) > Vector{} ? unmasked(sum) : Vector{});
        const Vector stored = load(g + at);
        part[0] += stored;
        part[1] += stored * (load(x + at) - load(mean + c));
      },
      [=](int64_t i, int32_t c, float(&part)[2]) {
        const int64_t at = i * C + c;
        const float sum = static_cast<float>(dy[at]) + (other ? static_cast<float>(other[at]) : 0.0f);
        g[at] = Map{static_cast<float>(y[at]) > 0.0f ? sum : 0.0f};
        const float stored = g[at];
        part[0] += stored;
        part[1] += stored * (static_cast<float>(x[at]) - mean[c]);
      });
  finish(to, pool);
}

template <typename Map>
void batchNormBackwardInput(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  const Map* x = a.tensor<Map>();
  const float* mean = a.floats();
  const float* factors = a.floats();
  const float* scale = a.floats();
  const float* shift = a.floats();
  Map* dx = a.tensor<Map>();
  const int64_t M = a.integer();
  const int32_t C = a.integer();
  const bool cached = a.integer() != 0;
  const bool streaming = !cached && streams<Map>(M, C);
  eachVector(pool, M, C, PLUSX_CLOSURE(int64_t at, int32_t c, int32_t lanes) {
    const Vector value = loadLanes(x + at, lanes);
    Vector g = unmasked(loadLanes(dy + at, lanes));
    if (scale) {
      const Vector input = value * loadLanes(scale + c, lanes) + loadLanes(shift + c, lanes);
      g = input > Vector{} ? g : Vector{};
    }
    const Vector slope = loadLanes(factors + C + c, lanes);
    const Vector average = loadLanes(factors + 2 * C + c, lanes);
    const Vector inner = (g - average) - slope * (value - loadLanes(mean + c, lanes));
    storeMap(dx + at, loadLanes(factors + c, lanes) * inner, lanes, streaming);
  });
}

template <typename Map>
void sumToChannels(Arguments a, Pool* pool) {
  const Map* dy = a.tensor<Map>();
  float* dbias = a.floats();
  const int64_t M = a.integer();
  const int32_t C = a.integer();
  sumRows<1>(
      pool, M, C,
      [=](int64_t i, int32_t c, Vector(&part)[1]) { part[0] += load(dy + i * C + c); },
      [=](int64_t i, int32_t c, float(&part)[1]) { part[0] += dy[i * C + c]; });
  copyTotals(pool, C, 0, dbias);
}

}  // namespace plusx::PLUSX_ISA
