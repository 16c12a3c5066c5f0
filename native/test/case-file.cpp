#include "test/case-file.h"

#include <cstring>
#include <fstream>
#include <iterator>

#include "executor/executor.h"

namespace plusx::replay {

namespace {

// Takes words from the front; once there are too few, all that it gives is zero or empty.
class Reader {
 public:
  explicit Reader(std::vector<char> file) : file_(std::move(file)) {}

  bool ok() const { return ok_; }
  bool atEnd() const { return at_ == file_.size(); }
  void fail() { ok_ = false; }

  uint32_t word() {
    uint32_t value = 0;
    copy(&value, 1);
    return value;
  }

  float number() {
    float value = 0;
    copy(&value, 1);
    return value;
  }

  template <typename T>
  std::vector<T> words() {
    const uint32_t count = word();
    if (count > (file_.size() - at_) / 4) ok_ = false;
    std::vector<T> values(ok_ ? count : 0);
    copy(values.data(), values.size());
    return values;
  }

  std::vector<char> bytes() {
    const uint32_t count = word();
    const size_t padded = (size_t{count} + 3) / 4 * 4;
    if (padded > file_.size() - at_) ok_ = false;
    if (!ok_) return {};
    const auto first = file_.begin() + static_cast<ptrdiff_t>(at_);
    at_ += padded;
    return {first, first + count};
  }

  std::string text() {
    const std::vector<char> characters = bytes();
    return {characters.begin(), characters.end()};
  }

  // A list of what `item` reads.
  template <typename Item>
  auto list(const Item& item) {
    std::vector<decltype(item())> items;
    for (uint32_t left = word(); ok_ && left > 0; --left) items.push_back(item());
    return items;
  }

 private:
  void copy(void* to, size_t count) {
    if (count > (file_.size() - at_) / 4) ok_ = false;
    if (!ok_ || count == 0) return;
    std::memcpy(to, file_.data() + at_, count * 4);
    at_ += count * 4;
  }

  std::vector<char> file_;
  size_t at_ = 0;
  bool ok_ = true;
};

// Braces evaluate from left to right: fields are read in the order of the file.
Case readCase(Reader& reader) {
  const auto region = [&] { return Region{reader.word(), reader.word()}; };
  const auto chunk = [&] {
    const uint32_t offset = reader.word();
    std::vector<char> data = reader.bytes();
    return Chunk{{offset, static_cast<uint32_t>(data.size())}, std::move(data)};
  };
  const auto step = [&] { return Step{reader.words<int32_t>(), reader.list(region)}; };
  const auto result = [&] {
    return Result{reader.text(), reader.word(), reader.word(), reader.number(),
                  reader.words<float>()};
  };
  return {reader.text(), reader.word(), reader.list(chunk), reader.list(step),
          reader.list(result)};
}

bool isSound(const Case& recorded) {
  const auto fits = [&](uint64_t offset, uint64_t bytes) {
    return offset + bytes <= recorded.arenaBytes;
  };
  for (const Chunk& chunk : recorded.chunks) {
    if (!fits(chunk.region.offset, chunk.region.bytes)) return false;
  }
  for (const Step& step : recorded.steps) {
    const int64_t length = static_cast<int64_t>(step.program.size());
    if (programSteps(step.program.data(), length) != 1) return false;
    for (const Region& region : step.regions) {
      if (!fits(region.offset, region.bytes)) return false;
    }
  }
  for (const Result& result : recorded.results) {
    if (result.bytesPerNumber != 2 && result.bytesPerNumber != 4) return false;
    if (!fits(result.offset, uint64_t{result.bytesPerNumber} * result.values.size())) return false;
  }
  return true;
}

}  // namespace

std::optional<std::vector<Case>> readCases(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {};
  Reader reader({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  if (reader.word() != kMagic || reader.word() != kVersion) return {};
  std::vector<Case> cases = reader.list([&] {
    Case recorded = readCase(reader);
    if (!isSound(recorded)) reader.fail();
    return recorded;
  });
  if (!reader.ok() || !reader.atEnd()) return {};
  return cases;
}

}  // namespace plusx::replay
