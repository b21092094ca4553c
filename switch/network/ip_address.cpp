// SPDX-License-Identifier: MIT
#include "switch/network/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

#include "switch/base/text.h"

namespace lanyard {
namespace {

// A decimal number of at most `max`, without sign or leading zeros; the whole text.
std::optional<unsigned> small_number(std::string_view text, unsigned max) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text.front() == '0')) {
    return std::nullopt;
  }
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

// "ADDRESS" or "ADDRESS/LENGTH" in two parts.
std::pair<std::string_view, std::optional<std::string_view>> at_slash(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {text, std::nullopt};
  return {text.substr(0, slash), text.substr(slash + 1)};
}

}  // namespace

std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text) {
  std::uint32_t number = 0;
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = part < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return std::nullopt;
    const auto octet = small_number(text.substr(0, dot), 255);
    if (!octet) return std::nullopt;
    number = number << 8 | *octet;
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  return from_number(number);
}

std::string Ipv4Address::text() const {
  const auto b = bytes();
  return fmt::format("{}.{}.{}.{}", b[0], b[1], b[2], b[3]);
}

std::optional<Ipv6Address> Ipv6Address::parse(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
  Bytes octets{};
  if (::inet_pton(AF_INET6, std::string(text).c_str(), octets.data()) != 1) return std::nullopt;
  return Ipv6Address(octets);
}

std::string Ipv6Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, octets_.data(), text.data(), text.size());
  return text.data();
}

bool Ipv6Address::is_loopback() const {
  Bytes one{};
  one.back() = 1;
  return octets_ == one;
}

std::optional<Ipv4Address> Ipv6Address::mapped_v4() const {
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!std::equal(kMapped.begin(), kMapped.end(), octets_.begin())) return std::nullopt;
  return Ipv4Address::from_bytes(std::span(octets_).last<4>());
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (const auto v4 = Ipv4Address::parse(text)) return IpAddress(*v4);
  if (const auto v6 = Ipv6Address::parse(text)) return IpAddress(*v6);
  return std::nullopt;
}

std::optional<Ipv4Prefix> Ipv4Prefix::parse(std::string_view text) {
  const auto [before, after] = at_slash(text);
  const auto address = Ipv4Address::parse(before);
  const auto length = after ? small_number(*after, 32) : std::optional<unsigned>(32);
  if (!address || !length) return std::nullopt;
  return Ipv4Prefix{*address, *length};
}

std::string Ipv4Prefix::text() const {
  return fmt::format("{}/{}", address.text(), length);
}

std::optional<Ipv6Prefix> Ipv6Prefix::parse(std::string_view text) {
  const auto [before, after] = at_slash(text);
  const auto address = Ipv6Address::parse(before);
  const auto length = after ? small_number(*after, 128) : std::optional<unsigned>(128);
  if (!address || !length) return std::nullopt;
  return Ipv6Prefix{*address, *length};
}

std::string Ipv6Prefix::text() const {
  return fmt::format("{}/{}", address.text(), length);
}

Ipv6Address Ipv6Prefix::network() const {
  Ipv6Address::Bytes octets = address.bytes();
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const auto bits = static_cast<int>(length) - static_cast<int>(i) * 8;
    if (bits <= 0) {
      octets[i] = 0;
    } else if (bits < 8) {
      octets[i] = static_cast<std::uint8_t>(octets[i] & (0xff00 >> bits));
    }
  }
  return Ipv6Address(octets);
}

Ipv6Address Ipv6Prefix::at(std::uint32_t offset) const {
  Ipv6Address::Bytes octets = network().bytes();
  for (std::size_t i = octets.size(); i-- > 12; offset >>= 8) {
    const std::uint32_t sum = octets[i] + (offset & 0xff);
    octets[i] = static_cast<std::uint8_t>(sum);
    offset += sum & 0x100;
  }
  return Ipv6Address(octets);
}

bool Ipv6Prefix::contains(const Ipv6Address& a) const {
  return Ipv6Prefix{a, length}.network() == network();
}

}  // namespace lanyard
