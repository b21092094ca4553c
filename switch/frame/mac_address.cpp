// SPDX-License-Identifier: MIT
#include "switch/frame/mac_address.h"

#include <charconv>

#include "switch/base/text.h"

namespace lanyard {

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress mac;
  const char separator = text.find('.') == std::string_view::npos ? ':' : '.';
  for (std::size_t i = 0; i < 6; ++i) {
    const std::size_t end = i == 5 ? text.size() : text.find(separator);
    if (end == std::string_view::npos || end == 0 || end > 2) return std::nullopt;
    unsigned value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + end, value, 16);
    if (error != std::errc() || stop != text.data() + end) return std::nullopt;
    mac.bytes[i] = static_cast<std::uint8_t>(value);
    text.remove_prefix(i == 5 ? end : end + 1);
  }
  return mac;
}

std::string MacAddress::text() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2],
                     bytes[3], bytes[4], bytes[5]);
}

}  // namespace lanyard
