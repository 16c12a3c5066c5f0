// Forward convolution of images with few channels, from whole rows: in NHWC the channels of a filter's
// row lie side by side, and so do those of the next pixel, stride·C further. The register tile reads
// them where they are; nothing is laid out for it but a row's edges.
#include "gather.h"

namespace plusx::PLUSX_ISA {

namespace {

// out(pixel, o) = Σ_{r, e} lines(r, pixel·Step + e) panel(r·length + e, o) for Rows pixels in a row.
template <int Rows, int Step>
__attribute__((noinline)) void multiplyLines(const float* lines, int64_t lineStride, int32_t rows,
                                             int32_t length, const float* panel, float* out) {
  Vector acc[Rows][2] = {};
  for (int32_t r = 0; r < rows; ++r, lines += lineStride) {
    const float* column = lines;
    for (int32_t e = 0; e < length; ++e, ++column, panel += kPanel) {
      column = opaque(column);
      panel = opaque(panel);
      const Vector w0 = load(panel), w1 = load(panel + kWidth);
#pragma GCC unroll 16
      for (int t = 0; t < Rows; ++t) {
        const float x = column[t * Step];
        acc[t][0] += x * w0;
        acc[t][1] += x * w1;
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < Rows; ++t) {
    store(out + t * kPanel, acc[t][0]);
    store(out + t * kPanel + kWidth, acc[t][1]);
  }
}

// A row of the image with zeros on both sides: from `first` (negative: left of it) on, so many numbers.
template <typename Map>
void copyLine(const Map* row, int32_t rowNumbers, int32_t first, int32_t count, float* line) {
  const int32_t start = first < 0 ? -first : 0;
  const int32_t end = rowNumbers - first < count ? rowNumbers - first : count;
  for (int32_t i = 0; i < count; ++i) {
    if (i < start || i >= end) line[i] = 0.0f;
  }
  for (int32_t i = start; i < end; i += kWidth) {
    const int32_t lanes = end - i < kWidth ? end - i : kWidth;
    storeLanes(line + i, loadLanes(row + first + i, lanes), lanes);
  }
}

// Of a row, and of the pixels beyond its last that are multiplied and not stored.
int64_t lineLength(const ConvShape& s) {
  const int64_t tiles = (s.OW + kTilePixels - 1) / kTilePixels;
  return (tiles * kTilePixels - 1) * s.stride * s.C + s.S * s.C;
}

// Rows of outputs that a task computes: their taps reach the same rows of the image.
constexpr int32_t kTaskRows = 4;

int32_t linesOfTask(const ConvShape& s) { return (kTaskRows - 1) * s.stride + s.R; }

template <int Step, typename Map>
void multiplyRowsOf(const ConvShape& s, const Image<Map>& image, const float* packed,
                    const Epilogue& epilogue, Map* y, Pool* pool) {
  const int32_t length = s.S * s.C, panels = (s.K + kPanel - 1) / kPanel;
  const int64_t panelFloats = static_cast<int64_t>(reductionLength(s.R * s.S, s.C)) * kPanel;
  const int32_t lineFloats = static_cast<int32_t>(lineLength(s));
  const bool streaming = streams<Map>(int64_t{s.N} * s.OH * s.OW, s.K);

  const auto multiplyRow = PLUSX_LAMBDA(const float* lines, int64_t row) {
    for (int32_t panel = 0; panel < panels; ++panel) {
      const int32_t first = panel * kPanel;
      const int32_t channels = s.K - first < kPanel ? s.K - first : kPanel;
      for (int32_t j = 0; j < s.OW; j += kTilePixels) {
        float sums[kTilePixels * kPanel];
        const int32_t count = s.OW - j < kTilePixels ? s.OW - j : kTilePixels;
        const auto multiply = count <= kTilePixels / 2 ? multiplyLines<kTilePixels / 2, Step>
                                                       : multiplyLines<kTilePixels, Step>;
        multiply(lines + static_cast<int64_t>(j) * Step, lineFloats, s.R, length,
                 packed + panel * panelFloats, sums);
        Map* to = y + (row * s.OW + j) * s.K + first;
        for (int32_t q = 0; q < count; ++q, to += s.K) {
          storePixel(epilogue, sums + q * kPanel, to - y, first, channels, streaming,
                     static_cast<const Map*>(nullptr), to);
        }
      }
    }
  };

  const int32_t groups = (s.OH + kTaskRows - 1) / kTaskRows;
  parallelFor(pool, s.N * groups, [&](int32_t task, char* scratch) {
    float* lines = reinterpret_cast<float*>(scratch);
    Map* room = reinterpret_cast<Map*>(lines + static_cast<int64_t>(linesOfTask(s)) * lineFloats);
    const int32_t n = task / groups, oh = task % groups * kTaskRows;
    const int32_t rows = s.OH - oh < kTaskRows ? s.OH - oh : kTaskRows;
    const int32_t top = oh * s.stride - s.padding, reached = (rows - 1) * s.stride + s.R;
    const Map* x = rowsBetween(image, s.H, n, top, n, top + reached - 1, room,
                               scratch + kThreadScratchBytes);
    for (int32_t r = 0; r < reached; ++r) {
      const int32_t h = top + r;
      const bool inside = h >= 0 && h < s.H;
      const Map* row = x + (static_cast<int64_t>(n) * s.H + (inside ? h : 0)) * s.W * s.C;
      copyLine(row, inside ? s.W * s.C : 0, -s.padding * s.C, lineFloats, lines + r * lineFloats);
    }
    for (int32_t i = 0; i < rows; ++i) {
      multiplyRow(lines + static_cast<int64_t>(i) * s.stride * lineFloats,
                  static_cast<int64_t>(n) * s.OH + oh + i);
    }
  });
}

}  // namespace

template <typename Map>
bool multipliesRows(const ConvShape& s) {
  const int32_t step = s.stride * s.C;
  // The lines, and as many rows of the image.
  const bool fits = lineLength(s) * linesOfTask(s) * 2 * sizeof(float) <= kThreadScratchBytes;
  return kSteps<Factor<Map>> == 1 && s.OW >= kTilePixels && fits &&
         (step == 3 || step == 6 || step == 12);
}

template <typename Map>
void rowsForward(const ConvShape& s, const Image<Map>& image, const Factor<Map>* packed, Map* y,
                 const Epilogue& epilogue, Pool* pool) {
  if constexpr (kSteps<Factor<Map>> == 1) {
    const int32_t step = s.stride * s.C;
    const auto run = step == 3   ? multiplyRowsOf<3, Map>
                     : step == 6 ? multiplyRowsOf<6, Map>
                                 : multiplyRowsOf<12, Map>;
    run(s, image, packed, epilogue, y, pool);
  }
}

}  // namespace plusx::PLUSX_ISA
