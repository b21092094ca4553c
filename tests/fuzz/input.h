// SPDX-License-Identifier: MIT
//
// What the fuzz targets share: an input read as a series of small decisions, and sentences that
// must hold. A sentence that does not ends the process, so that the input is kept and shown.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

namespace lanyard::fuzz {

inline void require(bool holds, const char* sentence) {
  if (holds) return;
  std::fprintf(stderr, "This does not hold: %s\n", sentence);
  std::abort();
}

inline std::string_view as_text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads from the front; past the end everything is 0 and nothing.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    const auto one = bytes(1);
    return one.empty() ? std::uint8_t{0} : one[0];
  }
  std::uint16_t word() {
    const unsigned high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::size_t below(std::size_t bound) { return byte() % bound; }
  // Fewer than `count` when there are not so many.
  std::span<const std::uint8_t> bytes(std::size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // Up to a delimiter, which is taken too and not shown.
  std::span<const std::uint8_t> until(std::uint8_t delimiter) {
    const auto end = std::find(rest_.begin(), rest_.end(), delimiter);
    const auto taken = bytes(static_cast<std::size_t>(end - rest_.begin()));
    bytes(1);
    return taken;
  }
  std::span<const std::uint8_t> rest() { return bytes(rest_.size()); }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace lanyard::fuzz
