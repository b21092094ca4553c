// SPDX-License-Identifier: MIT
//
// Datagrams of a guest before a NatWorld, and what it is answered.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/support/nat_world.h"

namespace lanyard::testing {

// What a test says of a datagram; the rest is usual.
struct DatagramRecipe {
  IpAddress to;
  std::uint16_t port = 0;
  Octets payload{1, 2, 3};
  std::uint16_t from_port = 40000;
  std::uint8_t hop_limit = 64;
  bool unfragmented = false;  // IPv4's "do not fragment"

  Octets frame() const {
    PacketRecipe recipe;
    recipe.source = to.is_v4() ? kGuest4 : kGuest6;
    recipe.destination = to;
    recipe.protocol = kIpProtocolUdp;
    recipe.source_port = from_port;
    recipe.destination_port = port;
    recipe.payload = payload;
    Octets made = recipe.frame();
    if (to.is_v6()) {
      made[21] = hop_limit;
      return made;
    }
    made[22] = hop_limit;
    if (unfragmented) made[20] = 0x40;
    store_u16(made, 24, 0);
    store_u16(made, 24, internet_checksum(std::span(made).subspan(kIpOffset, kIpv4HeaderSize)));
    return made;
  }
};

inline IpAddress address_at(const Octets& frame, std::size_t at, bool v6) {
  if (!v6) return Ipv4Address::from_bytes(std::span(frame).subspan(at).first<4>());
  Ipv6Address::Bytes octets{};
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), 16, octets.begin());
  return Ipv6Address(octets);
}

// What a guest was sent, fragments put together.
struct DatagramToGuest {
  IpAddress from;
  std::uint16_t from_port = 0;
  std::uint16_t port = 0;
  Octets payload;
};

// Fragments of one datagram are next to each other and in order; anything else fails the test.
inline std::vector<DatagramToGuest> datagrams_to(const TcpGuest& guest) {
  std::vector<DatagramToGuest> all;
  Octets whole;  // the transport's
  for (const Octets& frame : guest.others) {
    const bool v6 = load_u16(frame, 12) == 0x86dd;
    const bool fragment6 = v6 && frame[20] == 44;
    const std::size_t header = !v6 ? 34U : (fragment6 ? 62U : 54U);
    const std::uint8_t protocol = !v6 ? frame[23] : (fragment6 ? frame[54] : frame[20]);
    if (protocol != kIpProtocolUdp) continue;
    const std::uint16_t place = !v6 ? load_u16(frame, 20) : std::uint16_t{0};
    const std::size_t offset =
        !v6 ? (place & 0x1fffU) * 8U : (fragment6 ? load_u16(frame, 56) & 0xfff8U : 0U);
    const bool more = v6 ? fragment6 && (load_u16(frame, 56) & 1) != 0 : (place & 0x2000) != 0;
    EXPECT_EQ(offset, whole.size());
    whole.insert(whole.end(), frame.begin() + static_cast<std::ptrdiff_t>(header), frame.end());
    if (more) continue;
    EXPECT_EQ(load_u16(whole, 4), whole.size());
    all.push_back({address_at(frame, v6 ? 22 : 26, v6), load_u16(whole, 0), load_u16(whole, 2),
                   Octets(whole.begin() + 8, whole.end())});
    whole.clear();
  }
  return all;
}

// An ICMP error that a guest was sent.
struct ErrorToGuest {
  IpAddress from;
  int type = -1;
  int code = -1;
  std::uint32_t info = 0;
  IpAddress about;  // where the guest's datagram was to go
  std::uint16_t from_port = 0;
  std::uint16_t port = 0;
};

inline std::optional<ErrorToGuest> error_to(const TcpGuest& guest) {
  for (const Octets& frame : guest.others) {
    const bool v6 = load_u16(frame, 12) == 0x86dd;
    if ((v6 ? frame[20] : frame[23]) != (v6 ? kIpProtocolIcmp6 : kIpProtocolIcmp)) continue;
    const std::size_t at = v6 ? 54 : 34;
    const std::size_t inner = at + 8;
    const std::size_t transport = inner + (v6 ? 40 : 20);
    InternetChecksum sum;
    if (v6) sum = pseudo_header(frame, true, kIpProtocolIcmp6, frame.size() - at);
    sum.add(std::span(frame).subspan(at));
    EXPECT_EQ(sum.finish(), 0);
    return ErrorToGuest{address_at(frame, v6 ? 22 : 26, v6),
                        frame[at],
                        frame[at + 1],
                        load_u32(frame, at + 4),
                        address_at(frame, inner + (v6 ? 24 : 16), v6),
                        load_u16(frame, transport),
                        load_u16(frame, transport + 2)};
  }
  return std::nullopt;
}

}  // namespace lanyard::testing
