// SPDX-License-Identifier: MIT
//
// IPv4 and IPv6 addresses and prefixes as values. Text is read strictly (RFC 4632 and RFC 4291
// forms, nothing that inet_aton would guess at), because these addresses come from configuration
// files and decide who may reach what. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace lanyard {

class Ipv4Address {
 public:
  constexpr Ipv4Address() = default;
  static constexpr Ipv4Address from_number(std::uint32_t host_order) {
    return Ipv4Address(host_order);
  }
  static constexpr Ipv4Address from_bytes(std::span<const std::uint8_t, 4> octets) {
    std::uint32_t number = 0;
    for (const std::uint8_t octet : octets) number = number << 8 | octet;
    return Ipv4Address(number);
  }
  // Four decimal octets; no leading zeros, no fewer parts.
  static std::optional<Ipv4Address> parse(std::string_view text);

  constexpr std::uint32_t number() const { return number_; }
  constexpr std::array<std::uint8_t, 4> bytes() const {
    return {static_cast<std::uint8_t>(number_ >> 24), static_cast<std::uint8_t>(number_ >> 16),
            static_cast<std::uint8_t>(number_ >> 8), static_cast<std::uint8_t>(number_)};
  }
  std::string text() const;

  constexpr bool is_unspecified() const { return number_ == 0; }
  constexpr bool is_loopback() const { return number_ >> 24 == 127; }
  constexpr bool is_link_local() const { return number_ >> 16 == 0xa9fe; }
  constexpr bool is_multicast() const { return number_ >> 28 == 0xe; }
  constexpr bool is_broadcast() const { return number_ == 0xffffffff; }

  friend constexpr auto operator<=>(const Ipv4Address&, const Ipv4Address&) = default;

 private:
  explicit constexpr Ipv4Address(std::uint32_t number) : number_(number) {}

  std::uint32_t number_ = 0;
};

class Ipv6Address {
 public:
  using Bytes = std::array<std::uint8_t, 16>;

  constexpr Ipv6Address() = default;
  explicit constexpr Ipv6Address(const Bytes& octets) : octets_(octets) {}
  // RFC 4291 2.2, without a zone.
  static std::optional<Ipv6Address> parse(std::string_view text);

  constexpr const Bytes& bytes() const { return octets_; }
  std::string text() const;  // RFC 5952

  bool is_unspecified() const { return octets_ == Bytes{}; }
  bool is_loopback() const;
  bool is_multicast() const { return octets_[0] == 0xff; }
  bool is_link_local() const { return octets_[0] == 0xfe && (octets_[1] & 0xc0) == 0x80; }
  // The IPv4 address inside ::ffff:0:0/96.
  std::optional<Ipv4Address> mapped_v4() const;

  friend constexpr auto operator<=>(const Ipv6Address&, const Ipv6Address&) = default;

 private:
  Bytes octets_{};
};

// Either of the two.
class IpAddress {
 public:
  IpAddress() = default;                     // 0.0.0.0
  IpAddress(Ipv4Address v4) : value_(v4) {}  // NOLINT: implicit
  IpAddress(Ipv6Address v6) : value_(v6) {}  // NOLINT: implicit
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const { return value_.index() == 0; }
  bool is_v6() const { return value_.index() == 1; }
  Ipv4Address v4() const { return std::get<0>(value_); }
  const Ipv6Address& v6() const { return std::get<1>(value_); }
  std::string text() const { return is_v4() ? v4().text() : v6().text(); }

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  std::variant<Ipv4Address, Ipv6Address> value_;
};

// A network and the address somebody has in it: 10.0.2.0/24, or 192.168.56.1/24.
struct Ipv4Prefix {
  Ipv4Address address;
  unsigned length = 32;

  static std::optional<Ipv4Prefix> parse(std::string_view text);  // a bare address is a /32
  std::string text() const;

  constexpr std::uint32_t mask() const {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  }
  Ipv4Address netmask() const { return Ipv4Address::from_number(mask()); }
  Ipv4Address network() const { return Ipv4Address::from_number(address.number() & mask()); }
  Ipv4Address broadcast() const { return Ipv4Address::from_number(address.number() | ~mask()); }
  // network() + offset.
  Ipv4Address at(std::uint32_t offset) const {
    return Ipv4Address::from_number(network().number() + offset);
  }
  bool contains(Ipv4Address a) const { return (a.number() & mask()) == network().number(); }
  bool overlaps(const Ipv4Prefix& other) const {
    return contains(other.network()) || other.contains(network());
  }
  friend bool operator==(const Ipv4Prefix&, const Ipv4Prefix&) = default;
};

struct Ipv6Prefix {
  Ipv6Address address;
  unsigned length = 128;

  static std::optional<Ipv6Prefix> parse(std::string_view text);  // a bare address is a /128
  std::string text() const;

  Ipv6Address network() const;
  // network() with `offset` added to its last 32 bits.
  Ipv6Address at(std::uint32_t offset) const;
  bool contains(const Ipv6Address& a) const;
  bool overlaps(const Ipv6Prefix& other) const {
    return contains(other.network()) || other.contains(network());
  }
  friend bool operator==(const Ipv6Prefix&, const Ipv6Prefix&) = default;
};

}  // namespace lanyard
