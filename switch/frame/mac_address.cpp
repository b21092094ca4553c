// SPDX-License-Identifier: MIT
#include "switch/frame/mac_address.h"

#include <fmt/ranges.h>

#include <charconv>

#include "switch/base/text.h"

namespace lanyard {

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  std::array<std::uint8_t, kSize> octets{};
  const char separator = text.find('.') == std::string_view::npos ? ':' : '.';
  for (std::size_t i = 0; i < kSize; ++i) {
    const std::size_t end = i == kSize - 1 ? text.size() : text.find(separator);
    if (end == std::string_view::npos || end == 0 || end > 2) return std::nullopt;
    unsigned value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + end, value, 16);
    if (error != std::errc() || stop != text.data() + end) return std::nullopt;
    octets[i] = static_cast<std::uint8_t>(value);
    text.remove_prefix(i == kSize - 1 ? end : end + 1);
  }
  return from_bytes(octets);
}

std::string MacAddress::text() const {
  return fmt::format("{:02x}", fmt::join(bytes(), ":"));
}

}  // namespace lanyard
