// SPDX-License-Identifier: MIT
//
// Numbers as bytes, lowest first: how processes of ours, of one version or another, write them for
// each other. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lanyard {

inline void append_little_endian(std::string& to, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}

// The caller has made sure that `bytes` reaches so far.
inline std::uint64_t little_endian_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = size; i-- > 0;) {
    number = number << 8 | static_cast<std::uint8_t>(bytes[at + i]);
  }
  return number;
}

}  // namespace lanyard
