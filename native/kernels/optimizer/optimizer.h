// Optimizer updates in place; the equations stand at the steps `sgd` and `adamW` of plan.ts.
#pragma once
#include "executor/program.h"

namespace plusx::PLUSX_ISA {

void sgd(Arguments arguments, Pool* pool);
void adamW(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
