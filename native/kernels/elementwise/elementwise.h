// Steps that treat every element alike, or every channel of an image; the output may be an input's
// own memory.
#pragma once
#include "executor/program.h"
#include "simd/bfloat.h"

namespace plusx::PLUSX_ISA {

template <typename Map>
void normalizeImage(Arguments arguments, Pool* pool);  // y = (x/255 - mean)/std
template <typename Map>
void addBias(Arguments arguments, Pool* pool);         // y(…, c) = x(…, c) + bias(c)
template <typename Map>
void relu(Arguments arguments, Pool* pool);            // y = x ≤ 0 ? 0 : x; NaN stays NaN
template <typename Map>
void reluBackward(Arguments arguments, Pool* pool);    // dx = y > 0 ? dy (+ other) : 0
template <typename Map>
void add(Arguments arguments, Pool* pool);             // y = a + b
void sigmoid(Arguments arguments, Pool* pool);         // y = 1/(1 + e^-x)
void sigmoidBackward(Arguments arguments, Pool* pool); // dx = dy·y·(1 - y)
template <typename Map>
void scaleChannels(Arguments arguments, Pool* pool);   // y(n, …, c) = x(n, …, c)·s(n, c)
template <typename Map>
void scaleChannelsBackward(Arguments arguments, Pool* pool);  // ds(n, c) = Σ dy·x
void nhwcToNchw(Arguments arguments, Pool* pool);
void nchwToNhwc(Arguments arguments, Pool* pool);
void fill(Arguments arguments, Pool* pool);

}  // namespace plusx::PLUSX_ISA
