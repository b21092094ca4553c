// SPDX-License-Identifier: MIT
//
// What packets are, however they are wrapped.
#include "switch/bridge/packet_inspector.h"

#include <gtest/gtest.h>

#include "tests/support/hostile_packets.h"
#include "tests/support/random.h"

namespace lanyard {
namespace {

using namespace testing::hostile;  // NOLINT: it is the vocabulary of this file
using testing::Bytes;
using testing::kAlice;
using testing::kBob;
using testing::kBroadcast;
using enum PacketKind;

constexpr unsigned kIpv4 = 0x0800;
constexpr unsigned kIpv6 = 0x86dd;
constexpr unsigned kUdp = 17;
constexpr unsigned kIcmp6 = 58;
constexpr unsigned kHop = 0, kRoute = 43, kFragment = 44, kAuth = 51, kOptions = 60;

Bytes ether(unsigned type, const Bytes& payload) {
  return ethernet(kBroadcast, kAlice, type, payload).bytes;
}
Bytes v4(const Bytes& payload, unsigned protocol = kUdp, unsigned fragment = 0) {
  return ether(kIpv4, ipv4("10.0.0.1", "255.255.255.255", protocol, payload, fragment));
}
Bytes v6(unsigned next, const Bytes& payload) {
  return ether(kIpv6, ipv6("fe80::1", "ff02::1", next, payload));
}
const Bytes kOffer = udp(67, 68, dhcp(2, 2, kBob, "10.0.0.9"));
const Bytes kDiscover = udp(68, 67, dhcp(1, 1, kBob, "0.0.0.0"));
const Bytes kReply6 = udp(547, 546, dhcpv6("fd00::9"));
const Bytes kRa = advertisement();
const Bytes kHead(kRa.begin(), kRa.begin() + 8);

struct Row {
  const char* what;
  Bytes frame;
  PacketKind kind;
};

void expect_all(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    EXPECT_EQ(static_cast<int>(inspect_packet(row.frame).kind), static_cast<int>(row.kind))
        << row.what;
  }
}

TEST(PacketInspector, KnowsDhcp) {
  expect_all({
      {"an offer", v4(kOffer), dhcp_reply},
      {"an offer from an odd port", v4(udp(1234, 68, dhcp(2, 2, kBob, "10.0.0.9"))), dhcp_reply},
      {"an offer that says it is a request", v4(udp(67, 68, dhcp(1, 2, kBob, "10.0.0.9"))),
       dhcp_reply},
      {"an empty datagram to a client", v4(udp(67, 68, {})), dhcp_reply},
      {"a request", v4(kDiscover), dhcp_request},
      {"a server's answer to a relay", v4(udp(67, 67, dhcp(2, 2, kBob, "10.0.0.9"))), dhcp_reply},
      {"TCP with those ports", v4(kOffer, 6), other},
      {"other UDP", v4(udp(5353, 5353, {})), other},
      {"behind IP options", ether(kIpv4, ipv4("10.0.0.1", "10.0.0.2", kUdp, kOffer, 0, 40)),
       dhcp_reply},
      {"DHCPv6 for a client", v6(kUdp, kReply6), dhcpv6_reply},
      {"DHCPv6 for a server", v6(kUdp, udp(546, 547, u32(0x01000001))), dhcpv6_request},
      {"DHCPv6 for a relay", v6(kUdp, udp(547, 547, u32(0x0d000000))), dhcpv6_reply},
      {"DHCPv6 behind extension headers",
       v6(kHop, extension(kOptions, extension(kUdp, kReply6, 5))), dhcpv6_reply},
  });
}

TEST(PacketInspector, KnowsRouterAdvertisementsBehindAnything) {
  const auto wrapped = [](unsigned type, const Bytes& inner) {
    return join({u16(7), u16(type), inner});
  };
  const Bytes packet = ipv6("fe80::1", "ff02::1", kIcmp6, kRa);
  const Bytes snap = join({u16(0xaaaa), u8(3), zeros(3)});
  Bytes tags = packet;
  for (int i = 0; i < 20; ++i) tags = wrapped(i == 0 ? kIpv6 : 0x8100, tags);
  expect_all({
      {"plain", ether(kIpv6, packet), router_advertisement},
      {"a tag", ether(0x8100, wrapped(kIpv6, packet)), router_advertisement},
      {"two tags", ether(0x88a8, wrapped(0x8100, wrapped(kIpv6, packet))), router_advertisement},
      {"SNAP", ether(0x0040, join({snap, u16(kIpv6), packet})), router_advertisement},
      {"SNAP of another organisation",
       ether(0x0040, join({u16(0xaaaa), u8(3), u16(0), u8(0xf8), u16(kIpv6), packet})),
       router_advertisement},
      {"SNAP behind a tag", ether(0x8100, wrapped(0x0000, join({snap, u16(kIpv6), packet}))),
       router_advertisement},
      {"a tag behind SNAP", ether(0x0000, join({snap, u16(0x8100), wrapped(kIpv6, packet)})),
       router_advertisement},
      {"more tags than anybody reads", ether(0x8100, tags), hidden},
      {"hop-by-hop options", v6(kHop, extension(kIcmp6, kRa)), router_advertisement},
      {"all extension headers",
       v6(kHop, extension(kOptions,
                          extension(kRoute, extension(kOptions, extension(kIcmp6, kRa, 3)), 2))),
       router_advertisement},
      {"an authentication header", v6(kAuth, join({u8(kIcmp6), u8(4), zeros(22), kRa})),
       router_advertisement},
      {"a lone fragment", v6(kFragment, fragment_header(kIcmp6, 0, false, kRa)),
       router_advertisement},
      {"its first fragment", v6(kFragment, fragment_header(kIcmp6, 0, true, kHead)),
       router_advertisement},
      {"a redirect", v6(kIcmp6, join({u8(137), zeros(39)})), redirect},
      {"a solicitation", v6(kIcmp6, join({u8(133), zeros(7)})), other},
      {"an echo", v6(kIcmp6, join({u8(128), zeros(7)})), other},
      {"TCP", v6(6, zeros(20)), other},
      {"encrypted", v6(50, zeros(20)), other},
      {"nothing next", v6(59, {}), other},
  });
}

TEST(PacketInspector, SaysWhatItCannotSee) {
  const Bytes long_chain = extension(kOptions, zeros(8), 4);
  expect_all({
      {"a first fragment without the header that says",
       v6(kFragment, fragment_header(kOptions, 0, true, long_chain)), hidden},
      {"a first fragment that ends at once", v6(kFragment, fragment_header(kIcmp6, 0, true, {})),
       hidden},
      {"a first fragment of half a UDP header",
       v6(kFragment, fragment_header(kUdp, 0, true, zeros(4))), hidden},
      {"a chain that claims more than there is",
       v6(kHop, join({u8(kIcmp6), u8(255), zeros(6), kRa})), hidden},
      {"a chain that ends inside a header", v6(kOptions, u8(kIcmp6)), hidden},
      {"a next header that nobody has assigned", v6(200, kRa), hidden},
      {"a later fragment", v6(kFragment, fragment_header(kIcmp6, 3, true, kRa)), other},
      {"IPv4: a first fragment of half a UDP header", v4(zeros(4), kUdp, kMoreFragments), hidden},
      {"IPv4: a first fragment to a DHCP server without its operation",
       v4(udp(67, 67, {}), kUdp, kMoreFragments), hidden},
      {"IPv4: a first fragment of an offer", v4(udp(67, 68, {}), kUdp, kMoreFragments), dhcp_reply},
      {"IPv4: a later fragment", v4(kOffer, kUdp, 2), other},
      {"IPv4: cut, but no fragment: nobody takes it", v4(zeros(4)), other},
  });
}

TEST(PacketInspector, TellsWhoseAddressesAreClaimed) {
  const InspectedPacket told =
      inspect_packet(ether(0x0806, arp_reply(kAlice, "10.0.0.7", "10.0.0.1")));
  EXPECT_EQ(told.kind, PacketKind::arp);
  EXPECT_EQ(told.claimed, IpAddress::parse("10.0.0.7"));
  EXPECT_EQ(told.claimed_mac, kAlice);

  Bytes token_ring = arp_reply(kAlice, "10.0.0.7", "10.0.0.1");
  token_ring[1] = 4;
  EXPECT_FALSE(inspect_packet(ether(0x0806, token_ring)).claimed);

  const InspectedPacket tells = inspect_packet(v6(kIcmp6, neighbour(136, "fe80::7", kBob)));
  EXPECT_EQ(tells.kind, neighbour_advertisement);
  EXPECT_EQ(tells.claimed, IpAddress::parse("fe80::7"));
  EXPECT_EQ(tells.claimed_mac, kBob);
  EXPECT_EQ(tells.source, IpAddress::parse("fe80::1"));

  const InspectedPacket asks = inspect_packet(v6(kIcmp6, neighbour(135, "fe80::7")));
  EXPECT_EQ(asks.kind, neighbour_solicitation);
  EXPECT_FALSE(asks.claimed_mac);
}

TEST(PacketInspector, IsNotLedAstrayByAnyCut) {
  const Bytes frames[] = {v4(kOffer),
                          v6(kHop, extension(kFragment, fragment_header(kIcmp6, 0, false, kRa))),
                          ether(0x0806, arp_reply(kAlice, "10.0.0.7", "10.0.0.1")),
                          v6(kUdp, kReply6), v6(kIcmp6, neighbour(136, "fe80::7", kBob))};
  for (const Bytes& frame : frames) {
    for (std::size_t size = 0; size <= frame.size(); ++size) {
      const Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
      inspect_packet(cut);  // under a sanitizer a read past the end is found
    }
  }
}

}  // namespace
}  // namespace lanyard
