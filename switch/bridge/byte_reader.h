// SPDX-License-Identifier: MIT
//
// Bytes of a stranger, from front to back. What is not there reads as zero and is remembered, so
// that a parser can read a whole header and ask once whether it was all there. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lanyard {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  // Whether all that was asked for was there.
  bool ok() const { return ok_; }
  std::size_t left() const { return bytes_.size(); }
  std::span<const std::uint8_t> rest() const { return bytes_; }

  std::span<const std::uint8_t> take(std::size_t count) {
    if (count > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const std::span<const std::uint8_t> taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  void skip(std::size_t count) { take(count); }
  template <std::size_t kCount>
  std::span<const std::uint8_t, kCount> fixed() {
    static constexpr std::uint8_t kNothing[kCount] = {};
    const std::span<const std::uint8_t> taken = take(kCount);
    return taken.empty() ? std::span<const std::uint8_t, kCount>(kNothing) : taken.first<kCount>();
  }
  std::uint8_t u8() { return fixed<1>()[0]; }
  std::uint16_t u16() {
    const auto b = fixed<2>();
    return static_cast<std::uint16_t>(b[0] << 8 | b[1]);
  }
  std::uint32_t u32() {
    const std::uint32_t high = u16();
    return high << 16 | u16();
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool ok_ = true;
};

}  // namespace lanyard
