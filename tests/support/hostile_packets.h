// SPDX-License-Identifier: MIT
//
// Packets as a guest makes them that wants to be taken for a server, a router or another guest: put
// together from parts, each of which may be left out, repeated or cut. Checksums are zero: guards
// do not look at them.
#pragma once

#include <initializer_list>
#include <string_view>

#include "switch/network/ip_address.h"
#include "tests/support/frame_builder.h"

namespace lanyard::testing::hostile {

inline Bytes join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}
inline Bytes u8(unsigned number) {
  return {static_cast<std::uint8_t>(number)};
}
inline Bytes u16(unsigned number) {
  return {static_cast<std::uint8_t>(number >> 8U), static_cast<std::uint8_t>(number)};
}
inline Bytes u32(std::uint32_t number) {
  return join({u16(number >> 16U), u16(number & 0xffffU)});
}
inline Bytes of(MacAddress mac) {
  const auto octets = mac.bytes();
  return {octets.begin(), octets.end()};
}
inline Bytes of(std::string_view address) {
  const IpAddress parsed = IpAddress::parse(address).value();
  if (parsed.is_v6()) return {parsed.v6().bytes().begin(), parsed.v6().bytes().end()};
  const auto octets = parsed.v4().bytes();
  return {octets.begin(), octets.end()};
}
inline Bytes zeros(std::size_t count) {
  return Bytes(count);
}

constexpr unsigned kMoreFragments = 0x2000;

inline WireFrame ethernet(MacAddress to, MacAddress from, unsigned type, const Bytes& payload) {
  return {join({of(to), of(from), u16(type), payload})};
}
inline Bytes ipv4(std::string_view from, std::string_view to, unsigned protocol,
                  const Bytes& payload, unsigned fragment = 0, std::size_t options = 0) {
  return join({u8(static_cast<unsigned>(0x45 + options / 4)), u8(0),
               u16(static_cast<unsigned>(20 + options + payload.size())), u16(7), u16(fragment),
               u8(64), u8(protocol), u16(0), of(from), of(to), zeros(options), payload});
}
inline Bytes ipv6(std::string_view from, std::string_view to, unsigned next, const Bytes& payload) {
  return join({u32(0x60000000), u16(static_cast<unsigned>(payload.size())), u8(next), u8(255),
               of(from), of(to), payload});
}
// An extension header of `eights` times eight bytes, in front of `next`.
inline Bytes extension(unsigned next, const Bytes& rest, std::size_t eights = 1) {
  return join({u8(next), u8(static_cast<unsigned>(eights - 1)), zeros(eights * 8 - 2), rest});
}
inline Bytes fragment_header(unsigned next, unsigned offset, bool more, const Bytes& rest) {
  return join({u8(next), u8(0), u16(offset << 3U | (more ? 1U : 0U)), u32(1), rest});
}
inline Bytes udp(unsigned from, unsigned to, const Bytes& payload) {
  return join(
      {u16(from), u16(to), u16(static_cast<unsigned>(8 + payload.size())), u16(0), payload});
}

// DHCP: op 1 is a request, 2 a reply; type 5 an ACK.
inline Bytes dhcp(unsigned op, unsigned type, MacAddress client, std::string_view given,
                  std::uint32_t lease_s = 3600) {
  return join({u8(op), u8(1), u8(6), u8(0), u32(9), zeros(4), of(op == 2 ? "0.0.0.0" : given),
               of(op == 2 ? given : "0.0.0.0"), zeros(8), of(client), zeros(10 + 64 + 128),
               u32(0x63825363), u8(53), u8(1), u8(type), u8(51), u8(4), u32(lease_s), u8(255)});
}
inline Bytes dhcpv6(std::string_view given, std::uint32_t valid_s = 3600) {
  const Bytes address = join({u16(5), u16(24), of(given), u32(valid_s), u32(valid_s)});
  return join({u8(7), zeros(3), u16(3), u16(static_cast<unsigned>(12 + address.size())), zeros(12),
               address});
}

inline Bytes advertisement() {
  return join({u8(134), u8(0), u16(0), u8(64), u8(0), u16(1800), zeros(8)});
}
// Of a neighbour message: type 135 asks, 136 tells; `link` is its link-layer option.
inline Bytes neighbour(unsigned type, std::string_view target, MacAddress link = MacAddress()) {
  Bytes option;
  if (!link.is_zero()) option = join({u8(type == 135 ? 1 : 2), u8(1), of(link)});
  return join({u8(type), zeros(7), of(target), option});
}
inline Bytes arp_reply(MacAddress sender, std::string_view address, std::string_view target) {
  return join(
      {u16(1), u16(0x0800), u8(6), u8(4), u16(2), of(sender), of(address), zeros(6), of(target)});
}

}  // namespace lanyard::testing::hostile
