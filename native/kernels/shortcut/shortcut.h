// The shortcut without parameters: every stride-th pixel, `before` zeros in front of its channels and
// zeros behind them (He et al. 2015, arXiv 1512.03385, section 3.3, option A).
//
//   y(n, oh, ow, before + c) = x(n, oh·stride, ow·stride, c), zero elsewhere
#pragma once
#include "executor/program.h"
#include "simd/bfloat.h"

namespace plusx::PLUSX_ISA {

template <typename Map>
void identityShortcut(Arguments arguments, Pool* pool);
template <typename Map>
void identityShortcutBackward(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
