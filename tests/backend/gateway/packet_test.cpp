// SPDX-License-Identifier: MIT
#include "backend/gateway/packet.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <ostream>

namespace lanyard {

void PrintTo(PacketFault fault, std::ostream* out) {
  *out << name_of(fault);
}

namespace {

constexpr MacAddress kGuest = MacAddress::from_number(0x525400123456);
constexpr MacAddress kUs = MacAddress::from_number(0x52550a000202);
const Ipv4Address kFrom = *Ipv4Address::parse("10.0.2.15");
const Ipv4Address kTo = *Ipv4Address::parse("10.0.2.2");
const Ipv6Address kFrom6 = *Ipv6Address::parse("fd17::15");
const Ipv6Address kTo6 = *Ipv6Address::parse("fd17::2");

PacketBytes udp4(std::span<const std::uint8_t> payload) {
  PacketBytes frame;
  PacketBytes datagram;
  append_udp(datagram, kFrom, kTo, {1234, 53, payload});
  append_ethernet(frame, kUs, kGuest, kEtherTypeIpv4);
  append_ipv4(frame, {kFrom, kTo, kProtocolUdp}, datagram.size());
  frame.insert(frame.end(), datagram.begin(), datagram.end());
  return frame;
}

PacketBytes ipv6(std::uint8_t next_header, const PacketBytes& payload,
                 std::uint8_t hop_limit = 64) {
  PacketBytes frame;
  append_ethernet(frame, kUs, kGuest, kEtherTypeIpv6);
  append_ipv6(frame, {kFrom6, kTo6, next_header, hop_limit}, payload.size());
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

PacketBytes udp6(std::span<const std::uint8_t> payload) {
  PacketBytes datagram;
  append_udp(datagram, kFrom6, kTo6, {1234, 53, payload});
  return ipv6(kProtocolUdp, datagram);
}

const PacketBytes kHello{'h', 'e', 'l', 'l', 'o'};

TEST(Packet, WhatIsBuiltIsRead) {
  for (const PacketBytes& frame : {udp4(kHello), udp6(kHello)}) {
    const Packet packet = read_packet(frame);
    ASSERT_EQ(packet.fault, PacketFault::none);
    EXPECT_EQ(packet.source, kGuest);
    EXPECT_EQ(packet.destination, kUs);
    EXPECT_EQ(packet.protocol, kProtocolUdp);
    EXPECT_EQ(packet.hop_limit, 64);
    EXPECT_FALSE(packet.is_fragment);
    EXPECT_FALSE(packet.has_options);
    const Reading<UdpView> udp = read_udp(packet, false);
    ASSERT_EQ(udp.fault, PacketFault::none);
    EXPECT_EQ(udp.value.source_port, 1234);
    EXPECT_EQ(udp.value.destination_port, 53);
    EXPECT_TRUE(std::equal(udp.value.payload.begin(), udp.value.payload.end(), kHello.begin(),
                           kHello.end()));
  }
}

TEST(Packet, ArpIsRead) {
  PacketBytes frame;
  append_ethernet(frame, kBroadcastMac, kGuest, kEtherTypeArp);
  append_arp(frame, {ArpMessage::kRequest, kGuest, kFrom, MacAddress(), kTo});
  frame.resize(60);  // Ethernet's least
  const Packet packet = read_packet(frame);
  ASSERT_EQ(packet.kind, Packet::Kind::arp);
  ASSERT_EQ(packet.fault, PacketFault::none);
  EXPECT_EQ(packet.arp.sender_mac, kGuest);
  EXPECT_EQ(packet.arp.sender, kFrom);
  EXPECT_EQ(packet.arp.target, kTo);
}

TEST(Packet, ThePaddingOfEthernetIsNoPayload) {
  PacketBytes frame = udp4(kHello);
  frame.resize(60);
  const Packet packet = read_packet(frame);
  EXPECT_EQ(packet.network.size(), 20U + 8 + 5);
  EXPECT_EQ(read_udp(packet, false).value.payload.size(), 5U);
}

TEST(Packet, WhatContradictsItselfIsNamed) {
  struct Row {
    PacketBytes frame;
    std::function<void(PacketBytes&)> spoil;
    PacketFault fault;
  };
  const auto set = [](std::size_t at, std::uint8_t value) {
    return [at, value](PacketBytes& frame) { frame.at(at) = value; };
  };
  const auto cut = [](std::size_t to) { return [to](PacketBytes& frame) { frame.resize(to); }; };
  PacketBytes arp;
  append_ethernet(arp, kUs, kGuest, kEtherTypeArp);
  append_arp(arp, {ArpMessage::kReply, kGuest, kFrom, kUs, kTo});
  const std::vector<Row> rows{
      {udp4(kHello), cut(13), PacketFault::short_ethernet},
      {arp, cut(41), PacketFault::bad_arp},
      {arp, set(15, 6), PacketFault::bad_arp},   // hardware type
      {arp, set(19, 16), PacketFault::bad_arp},  // length of addresses
      {arp, set(21, 3), PacketFault::bad_arp},   // RARP
      {udp4(kHello), cut(33), PacketFault::short_ipv4},
      {udp4(kHello), set(14, 0x65), PacketFault::bad_ipv4_header},
      {udp4(kHello), set(14, 0x44), PacketFault::bad_ipv4_header},
      {udp4(kHello), set(17, 19), PacketFault::bad_ipv4_header},
      {udp4(kHello), set(16, 1), PacketFault::bad_ipv4_length},
      {udp4(kHello), set(22, 63), PacketFault::bad_ipv4_checksum},
      {udp6(kHello), cut(53), PacketFault::short_ipv6},
      {udp6(kHello), set(14, 0x40), PacketFault::bad_ipv6_header},
      {udp6(kHello), set(19, 14), PacketFault::bad_ipv6_length},
      {ipv6(0, {17, 1, 0, 0, 0, 0, 0, 0}), set(14, 0x60), PacketFault::bad_ipv6_extension},
      {ipv6(44, {17, 0, 0, 0}), set(14, 0x60), PacketFault::bad_ipv6_extension},
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    PacketBytes frame = rows[i].frame;
    rows[i].spoil(frame);
    EXPECT_EQ(read_packet(frame).fault, rows[i].fault) << "row " << i;
  }
}

TEST(Packet, ALongChainOfExtensionHeadersIsRefused) {
  PacketBytes chain;
  for (int i = 0; i < 9; ++i) chain.insert(chain.end(), {60, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(read_packet(ipv6(60, chain)).fault, PacketFault::bad_ipv6_extension);
}

TEST(Packet, ExtensionHeadersAndFragmentsAreSeen) {
  PacketBytes options{17, 0, 0, 0, 0, 0, 0, 0};
  append_udp(options, kFrom6, kTo6, {1, 2, kHello});
  const PacketBytes options_frame = ipv6(60, options);
  const Packet with_options = read_packet(options_frame);
  EXPECT_TRUE(with_options.has_options);
  EXPECT_TRUE(read_udp(with_options, false));

  PacketBytes fragment;
  append_ipv6_fragment(fragment, kProtocolUdp, 7, 1480, true);
  EXPECT_TRUE(read_packet(ipv6(kProtocolFragment, fragment)).is_fragment);
  PacketBytes atomic;
  append_ipv6_fragment(atomic, kProtocolUdp, 7, 0, false);
  EXPECT_FALSE(read_packet(ipv6(kProtocolFragment, atomic)).is_fragment);

  PacketBytes frame;
  append_ethernet(frame, kUs, kGuest, kEtherTypeIpv4);
  append_ipv4(frame, {kFrom, kTo, kProtocolUdp, 64, 1, 1480, false}, 0);
  EXPECT_TRUE(read_packet(frame).is_fragment);
}

TEST(Packet, UdpLengthsAndChecksumsAreChecked) {
  const auto fault_after = [](PacketBytes frame, std::size_t at, std::uint8_t value,
                              bool owed = false) {
    frame.at(at) = value;
    const Packet packet = read_packet(frame);
    EXPECT_EQ(packet.fault, PacketFault::none);
    return read_udp(packet, owed).fault;
  };
  EXPECT_EQ(fault_after(udp4(kHello), 39, 7), PacketFault::bad_udp_length);
  EXPECT_EQ(fault_after(udp4(kHello), 39, 14), PacketFault::bad_udp_length);
  EXPECT_EQ(fault_after(udp4(kHello), 42, 'j'), PacketFault::bad_udp_checksum);
  EXPECT_EQ(fault_after(udp4(kHello), 42, 'j', true), PacketFault::none);
  EXPECT_EQ(fault_after(udp6(kHello), 62, 'j'), PacketFault::bad_udp_checksum);
  PacketBytes none = udp4(kHello);
  none[40] = none[41] = 0;
  EXPECT_TRUE(read_udp(read_packet(none), false)) << "over IPv4 a checksum can be left out";
  PacketBytes none6 = udp6(kHello);
  none6[60] = none6[61] = 0;
  EXPECT_EQ(read_udp(read_packet(none6), false).fault, PacketFault::bad_udp_checksum);
}

PacketBytes solicitation() {
  PacketBytes body{135, 0, 0, 0, 0, 0, 0, 0};
  body.insert(body.end(), kTo6.bytes().begin(), kTo6.bytes().end());
  body.insert(body.end(), {1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56});
  return body;
}

Reading<NeighbourMessage> read_nd(PacketBytes body, std::uint8_t hop_limit = 255) {
  finish_icmp6(body, kFrom6, kTo6);
  const PacketBytes frame = ipv6(kProtocolIcmp6, body, hop_limit);
  const Packet packet = read_packet(frame);
  const Reading<IcmpView> icmp = read_icmp(packet, false);
  EXPECT_EQ(icmp.fault, PacketFault::none);
  return read_neighbour(packet, icmp.value);
}

TEST(Packet, NeighbourDiscoveryIsRead) {
  const Reading<NeighbourMessage> nd = read_nd(solicitation());
  ASSERT_TRUE(nd);
  EXPECT_TRUE(nd.value.is_solicitation);
  EXPECT_EQ(nd.value.target, kTo6);
  EXPECT_EQ(nd.value.link_layer, kGuest);
}

TEST(Packet, NeighbourDiscoveryThatSomebodyForwardedIsRefused) {
  EXPECT_EQ(read_nd(solicitation(), 254).fault, PacketFault::bad_nd);
  PacketBytes code = solicitation();
  code[1] = 1;
  EXPECT_EQ(read_nd(code).fault, PacketFault::bad_nd);
  PacketBytes endless = solicitation();
  endless[25] = 0;  // an option of no length
  EXPECT_EQ(read_nd(endless).fault, PacketFault::bad_nd);
  PacketBytes beyond = solicitation();
  beyond[25] = 2;
  EXPECT_EQ(read_nd(beyond).fault, PacketFault::bad_nd);
  PacketBytes group = solicitation();
  group[8] = 0xff;
  EXPECT_EQ(read_nd(group).fault, PacketFault::bad_nd);
}

RC_GTEST_PROP(Packet, AnyBytesAreReadWithinTheirBounds, (PacketBytes frame, std::uint8_t kind)) {
  if (frame.size() > 13) {
    frame[12] = kind % 2 == 0 ? 0x08 : 0x86;
    frame[13] = kind % 2 == 0 ? (kind % 4 == 0 ? 0 : 6) : 0xdd;
  }
  const Packet packet = read_packet(frame);
  if (packet.fault != PacketFault::none || !packet.is_ip()) return;
  RC_ASSERT(packet.payload.size() <= packet.network.size());
  RC_ASSERT(packet.network.size() <= frame.size() - 14);
  (void)read_udp(packet, true);
  (void)read_icmp(packet, true);
}

}  // namespace
}  // namespace lanyard
