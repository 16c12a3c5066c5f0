// Softmax cross-entropy of logits (N, K) against labels (N), and its gradient.
//
//   loss = 1/N Σ_n (log Σ_k exp(logits(n,k)) - logits(n, label(n)))
//   dlogits = dloss/N (softmax(logits) - onehot(labels))
//
// In fp64, the row's maximum subtracted first. Labels are below K: the caller has checked.
#pragma once
#include "executor/program.h"

namespace plusx::PLUSX_ISA {

void softmaxCrossEntropy(Arguments arguments, Pool* pool);
void softmaxCrossEntropyBackward(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
