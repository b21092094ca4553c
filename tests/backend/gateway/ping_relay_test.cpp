// SPDX-License-Identifier: MIT
//
// What needs no packet to leave the host; gateway_ping_test.py has the world.
#include "backend/gateway/ping_relay.h"

#include <gtest/gtest.h>

#include "tests/support/gateway_link.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::GatewayLink;

constexpr MacAddress kGuest = MacAddress::from_number(0x525400123456);

Ipv4Address v4(const char* text) {
  return *Ipv4Address::parse(text);
}

class PingRelayTest : public ::testing::Test {
 protected:
  PingRelayTest() {
    NetworkConfig config;
    config.kind = NetworkKind::nat;
    config.subnet = Ipv4Prefix::parse("10.0.2.0/24");
    config.router = v4("10.0.2.2");
    relay.set_network(config);
  }

  // The frames that a guest gets for a ping.
  std::vector<Bytes> ping(const char* target, std::uint8_t ttl = 64, std::uint16_t identifier = 7) {
    Bytes echo{kIcmpEcho,
               0,
               0,
               0,
               static_cast<std::uint8_t>(identifier >> 8),
               static_cast<std::uint8_t>(identifier),
               0,
               1};
    finish_icmp(echo);
    Bytes frame;
    append_ethernet(frame, testing::kGatewayMac, kGuest, kEtherTypeIpv4);
    append_ipv4(frame, {v4("10.0.2.15"), v4(target), kProtocolIcmp, ttl}, echo.size());
    frame.insert(frame.end(), echo.begin(), echo.end());
    const Packet packet = read_packet(frame);
    relay.on_echo(packet, read_icmp(packet, false).value);
    return gateway.take();
  }
  static void expect_error(const std::vector<Bytes>& frames, std::uint8_t type, std::uint8_t code) {
    ASSERT_EQ(frames.size(), 1U);
    const Packet packet = read_packet(frames[0]);
    EXPECT_EQ(packet.from, IpAddress(v4("10.0.2.2")));
    EXPECT_EQ(packet.to, IpAddress(v4("10.0.2.15")));
    const Reading<IcmpView> icmp = read_icmp(packet, false);
    ASSERT_TRUE(icmp);
    EXPECT_EQ(icmp.value.type, type);
    EXPECT_EQ(icmp.value.code, code);
    EXPECT_EQ(icmp.value.message.size(), 8U + 28) << "the packet is quoted";
  }

  GatewayLink gateway;
  bool allowed = true;
  PingRelay relay{*gateway.loop, *gateway.link, gateway.log,
                  [this](const IpAddress&, const IpAddress&) { return allowed; }};
};

TEST_F(PingRelayTest, IsTheFirstHop) {
  expect_error(ping("192.0.2.1", 1), 11, 0);
  expect_error(ping("192.0.2.1", 0), 11, 0);
}

TEST_F(PingRelayTest, SaysWhenItIsForbidden) {
  allowed = false;
  expect_error(ping("192.0.2.1"), 3, 13);
  EXPECT_EQ(relay.counters().refused, 1U);
}

TEST_F(PingRelayTest, LeavesNeighboursAndGroupsToOthers) {
  for (const char* target : {"10.0.2.16", "10.0.2.255", "255.255.255.255", "224.0.0.1"}) {
    EXPECT_TRUE(ping(target).empty()) << target;
  }
  EXPECT_EQ(relay.sockets(), 0U);
}

TEST_F(PingRelayTest, SaysWhenTheKernelForbidsIt) {
  if (relay.problem().empty()) GTEST_SKIP() << "this kernel lets us ping";
  expect_error(ping("192.0.2.1"), 3, 13);
  EXPECT_EQ(relay.counters().not_permitted, 1U);
  EXPECT_NE(relay.problem().find("net.ipv4.ping_group_range"), std::string::npos);
}

TEST_F(PingRelayTest, BoundsTheSocketsOfAGuest) {
  if (!relay.problem().empty()) GTEST_SKIP() << relay.problem();
  for (std::uint16_t identifier = 0; identifier < 1000; ++identifier) {
    ping("127.0.0.1", 64, identifier);
  }
  EXPECT_EQ(relay.sockets(), PingRelay::kSocketsPerGuestMax);
  EXPECT_EQ(relay.flows().size(), PingRelay::kSocketsPerGuestMax);
}

}  // namespace
}  // namespace lanyard
