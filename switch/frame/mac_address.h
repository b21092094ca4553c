// SPDX-License-Identifier: MIT
//
// A MAC address (IEEE 802, EUI-48) as a value. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace lanyard {

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  // Six hexadecimal octets separated by ':' or all by '.'.
  static std::optional<MacAddress> parse(std::string_view text);
  static MacAddress from_bytes(const std::uint8_t* six) {
    MacAddress mac;
    std::memcpy(mac.bytes.data(), six, 6);
    return mac;
  }
  static constexpr MacAddress from_number(std::uint64_t low_48_bits) {
    MacAddress mac;
    for (int i = 5; i >= 0; --i) {
      mac.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(low_48_bits);
      low_48_bits >>= 8;
    }
    return mac;
  }

  std::string text() const;  // "52:54:00:12:34:56"
  constexpr std::uint64_t number() const {
    std::uint64_t n = 0;
    for (const std::uint8_t byte : bytes) n = n << 8 | byte;
    return n;
  }
  constexpr bool is_group() const { return (bytes[0] & 1) != 0; }  // multicast or broadcast
  constexpr bool is_zero() const { return number() == 0; }

  friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;
};

}  // namespace lanyard
