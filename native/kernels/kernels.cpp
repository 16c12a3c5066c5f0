// All kernels of one instruction set, as one translation unit: compiled once per set with
// PLUSX_ISA as its name (avx512, avx2, x86_64_v2, neon, wasm128) and the set's own flags.
#include "conv/backward-weight.cpp"
#include "conv/conv.cpp"
#include "conv/gather.cpp"
#include "conv/rows.cpp"
#include "dropout/dropout.cpp"
#include "elementwise/elementwise.cpp"
#include "grouped/backward-weight.cpp"
#include "grouped/pass.cpp"
#include "loss/cross-entropy.cpp"
#include "matmul/matmul.cpp"
#include "measure/measure.cpp"
#include "norm/norm.cpp"
#include "optimizer/optimizer.cpp"
#include "pool/adaptive.cpp"
#include "pool/pool2d.cpp"
#include "shortcut/shortcut.cpp"
#include "winograd/backward-weight.cpp"
#include "winograd/panels.cpp"
#include "winograd/pass.cpp"
#include "winograd/weights.cpp"

namespace plusx::PLUSX_ISA {

const KernelTable kernels = {
    {
#define PLUSX_FLOATS(name) name,
#define PLUSX_MAPS(name) name<float>,
        PLUSX_STEPS(PLUSX_FLOATS, PLUSX_MAPS)
#undef PLUSX_FLOATS
#undef PLUSX_MAPS
#define PLUSX_FLOATS(name) nullptr,
#define PLUSX_MAPS(name) name<BFloat>,
        PLUSX_STEPS(PLUSX_FLOATS, PLUSX_MAPS)
#undef PLUSX_FLOATS
#undef PLUSX_MAPS
    },
    multiplyAdds,
    stream,
};

const KernelTable& kernelTable() { return kernels; }

}  // namespace plusx::PLUSX_ISA
