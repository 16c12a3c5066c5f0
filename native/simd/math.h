// exp and log in double precision, written out so that every instruction set and WebAssembly
// compute the same and nothing is needed from a C library.
#pragma once
#include <cstdint>

namespace plusx::PLUSX_ISA {

// Relative error below 1e-15 for |x| < 700; 0 below -700.
static inline double exponential(double x) {
  if (x < -700.0) return 0.0;
  if (x > 700.0) return __builtin_inf();
  if (x != x) return x;
  const double kLog2e = 1.4426950408889634, kLn2High = 0.6931471803691238,
               kLn2Low = 1.9082149292705877e-10;
  const double scaled = x * kLog2e;
  const int64_t k = static_cast<int64_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  const double r = (x - static_cast<double>(k) * kLn2High) - static_cast<double>(k) * kLn2Low;
  // Taylor series on |r| <= ln(2)/2, in Horner's form.
  double sum = 1.0;
  for (int i = 14; i >= 1; --i) sum = 1.0 + sum * r / i;
  union {
    uint64_t bits;
    double value;
  } power = {static_cast<uint64_t>(k + 1023) << 52};
  return sum * power.value;
}

// Natural logarithm of a finite x > 0, relative error below 1e-14.
static inline double logarithm(double x) {
  union {
    double value;
    uint64_t bits;
  } parts = {x};
  int exponent = static_cast<int>(parts.bits >> 52) - 1023;
  parts.bits = (parts.bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
  double m = parts.value;
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent += 1;
  }
  // log(m) = 2 atanh(s), s = (m - 1)/(m + 1), |s| < 0.172.
  const double s = (m - 1.0) / (m + 1.0), square = s * s;
  double sum = 0.0;
  for (int i = 21; i >= 1; i -= 2) sum = 1.0 / i + square * sum;
  return 2.0 * s * sum + exponent * 0.6931471805599453;
}

}  // namespace plusx::PLUSX_ISA
