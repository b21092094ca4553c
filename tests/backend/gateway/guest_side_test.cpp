// SPDX-License-Identifier: MIT
#include "backend/gateway/guest_side.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/gateway_link.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::GatewayLink;

constexpr MacAddress kGuest = MacAddress::from_number(0x525400123456);
const Ipv4Address kRouter = *Ipv4Address::parse("10.0.2.2");
const Ipv4Address kGuestAddress = *Ipv4Address::parse("10.0.2.15");
const Ipv6Address kRouter6 = *Ipv6Address::parse("fd17::2");
const Ipv6Address kGuestAddress6 = *Ipv6Address::parse("fd17::15");

Bytes counting(std::size_t count) {
  Bytes bytes(count);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

// The payloads of fragments in order, as a guest puts them together.
Bytes reassembled(const std::vector<Bytes>& frames) {
  Bytes whole;
  for (const Bytes& frame : frames) {
    const Packet packet = read_packet(frame);
    EXPECT_EQ(packet.fault, PacketFault::none);
    EXPECT_LE(packet.network.size(), 1500U);
    EXPECT_EQ(packet.is_fragment, frames.size() > 1);
    whole.insert(whole.end(), packet.payload.begin(), packet.payload.end());
  }
  return whole;
}

TEST(GuestSide, ADatagramIsOneFrame) {
  GatewayLink gateway;
  const Bytes payload = counting(100);
  gateway.link->send_udp({kGuest, kRouter, kGuestAddress, 67, 68, payload});
  const auto frames = gateway.take();
  ASSERT_EQ(frames.size(), 1U);
  const Packet packet = read_packet(frames[0]);
  EXPECT_EQ(packet.source, testing::kGatewayMac);
  EXPECT_EQ(packet.destination, kGuest);
  const Reading<UdpView> udp = read_udp(packet, false);
  ASSERT_EQ(udp.fault, PacketFault::none);
  EXPECT_EQ(udp.value.destination_port, 68);
}

TEST(GuestSide, ALongDatagramGoesInFragments) {
  for (const std::size_t size : {1472U, 1473U, 2952U, 2953U, 8192U, 65000U}) {
    for (const bool v4 : {true, false}) {
      GatewayLink gateway;
      const Bytes payload = counting(size);
      GuestDatagram datagram{kGuest, kRouter, kGuestAddress, 53, 4000, payload};
      if (!v4) {
        datagram.source = kRouter6;
        datagram.destination = kGuestAddress6;
      }
      gateway.link->send_udp(datagram);
      const Bytes whole = reassembled(gateway.take());
      ASSERT_EQ(whole.size(), 8 + size) << "IPv" << (v4 ? 4 : 6);
      EXPECT_EQ(Bytes(whole.begin() + 8, whole.end()), payload);
    }
  }
}

TEST(GuestSide, ADatagramWithoutPayloadIsSent) {
  GatewayLink gateway;
  gateway.link->send_udp({kGuest, kRouter, kGuestAddress, 67, 68, {}});
  EXPECT_EQ(gateway.take().size(), 1U);
}

TEST(GuestSide, WhatNoPacketHoldsIsNotSent) {
  GatewayLink gateway;
  const Bytes payload(65536);
  gateway.link->send_udp({kGuest, kRouter, kGuestAddress, 67, 68, payload});
  EXPECT_TRUE(gateway.take().empty());
}

TEST(GuestSide, AsksWhoHasAnAddress) {
  GatewayLink gateway;
  gateway.link->send_arp_request(Ipv4Address(), kGuestAddress);
  const auto frames = gateway.take();
  ASSERT_EQ(frames.size(), 1U);
  const Packet packet = read_packet(frames[0]);
  EXPECT_EQ(packet.destination, kBroadcastMac);
  EXPECT_EQ(packet.arp.operation, ArpMessage::kRequest);
  EXPECT_TRUE(packet.arp.sender.is_unspecified());
  EXPECT_EQ(packet.arp.target, kGuestAddress);
}

TEST(GuestSide, Icmp6HasItsChecksumAndHopLimit) {
  GatewayLink gateway;
  const Bytes body{134, 0, 0xde, 0xad, 64, 0, 0, 0};
  gateway.link->send_icmp6(kGuest, kRouter6, kGuestAddress6, body);
  const auto frames = gateway.take();
  ASSERT_EQ(frames.size(), 1U);
  const Packet packet = read_packet(frames[0]);
  EXPECT_EQ(packet.hop_limit, 255);
  EXPECT_EQ(read_icmp(packet, false).fault, PacketFault::none);
}

}  // namespace
}  // namespace lanyard
