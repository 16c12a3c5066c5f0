// What a convolution reads: a map, or an image's bytes, which become numbers as it loads them.
#pragma once
#include "executor/program.h"
#include "simd/vector.h"

namespace plusx::PLUSX_ISA {

// (byte/255 - mean)/std of each channel. Only 256 values a channel are possible: each is computed once,
// with torchvision's roundings.
struct Normalization {
  static constexpr int32_t kMaxChannels = 64;

  int32_t channels = 0;
  float values[kMaxChannels][256];

  // `count` numbers, from a pixel's first channel on.
  template <typename Map>
  void convert(const uint8_t* bytes, int64_t count, Map* numbers) const {
    if (channels == 3) return convertPixels(3, bytes, count, numbers);
    convertPixels(channels, bytes, count, numbers);
  }

 private:
  template <typename Map>
  __attribute__((always_inline)) void convertPixels(int32_t C, const uint8_t* bytes, int64_t count,
                                                    Map* numbers) const {
    for (int64_t p = 0; p < count; p += C) {
      for (int32_t c = 0; c < C; ++c) numbers[p + c] = values[c][bytes[p + c]];
    }
  }
};

// Channels, then mean and std of each; without channels there is nothing to normalise.
void readNormalization(Arguments& arguments, Normalization& normalization);

// (N·H, rowNumbers): the rows of all images, as Map or, where there is a normalization, as bytes.
template <typename Map>
struct Image {
  const void* data;
  const Normalization* normalization;  // or null
  int64_t rowNumbers;

  // Where row 0 would be, so that rows first .. end are there as numbers: if need be in `room`, which ends
  // at `roomEnd`.
  const Map* rows(int64_t first, int64_t end, Map* room, const char* roomEnd) const {
    if (!normalization) return static_cast<const Map*>(data);
    const Map* last = room + (end - first) * rowNumbers;
    if (reinterpret_cast<const char*>(last) > roomEnd) __builtin_trap();
    const uint8_t* bytes = static_cast<const uint8_t*>(data) + first * rowNumbers;
    normalization->convert(bytes, (end - first) * rowNumbers, room);
    return room - first * rowNumbers;
  }
};

// The rows from one of image n to one of image lastN, H rows each, whatever of them there is.
template <typename Map>
const Map* rowsBetween(const Image<Map>& image, int32_t H, int32_t n, int32_t row, int32_t lastN,
                       int32_t lastRow, Map* room, const char* roomEnd) {
  const auto within = PLUSX_LAMBDA(int32_t at) { return at < 0 ? 0 : at < H ? at : H - 1; };
  return image.rows(int64_t{n} * H + within(row), int64_t{lastN} * H + within(lastRow) + 1, room,
                    roomEnd);
}

}  // namespace plusx::PLUSX_ISA
