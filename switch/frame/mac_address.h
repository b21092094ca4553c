// SPDX-License-Identifier: MIT
//
// A MAC address (IEEE 802, EUI-48) as a value: a number of 48 bits, the first octet on top, because
// every frame is looked up by two of them and nobody looks at single octets. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lanyard {

class MacAddress {
 public:
  static constexpr std::size_t kSize = 6;

  constexpr MacAddress() = default;
  static constexpr MacAddress from_number(std::uint64_t low_48_bits) {
    return MacAddress(low_48_bits & kMask);
  }
  static constexpr MacAddress from_bytes(std::span<const std::uint8_t, kSize> octets) {
    std::uint64_t number = 0;
    for (const std::uint8_t octet : octets) number = number << 8 | octet;
    return MacAddress(number);
  }
  // Six hexadecimal octets separated by ':' or all by '.'.
  static std::optional<MacAddress> parse(std::string_view text);

  constexpr std::uint64_t number() const { return number_; }
  constexpr std::array<std::uint8_t, kSize> bytes() const {
    std::array<std::uint8_t, kSize> octets{};
    for (std::size_t i = 0; i < kSize; ++i) {
      octets[i] = static_cast<std::uint8_t>(number_ >> (8 * (kSize - 1 - i)));
    }
    return octets;
  }
  std::string text() const;  // "52:54:00:12:34:56"

  constexpr bool is_group() const { return (number_ >> 40 & 1) != 0; }  // multicast or broadcast
  constexpr bool is_zero() const { return number_ == 0; }

  friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;

 private:
  static constexpr std::uint64_t kMask = 0xffffffffffff;

  explicit constexpr MacAddress(std::uint64_t number) : number_(number) {}

  std::uint64_t number_ = 0;
};

}  // namespace lanyard
