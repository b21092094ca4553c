// SPDX-License-Identifier: MIT
#include "backend/gateway/address_responder.h"

#include <gtest/gtest.h>

#include "backend/gateway/router_advertiser.h"
#include "tests/support/gateway_link.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Bytes;
using testing::GatewayLink;

constexpr MacAddress kGuest = MacAddress::from_number(0x525400123456);
constexpr Time kNow = seconds(100);

Ipv4Address v4(const char* text) {
  return *Ipv4Address::parse(text);
}
Ipv6Address v6(const char* text) {
  return *Ipv6Address::parse(text);
}

class AddressResponderTest : public ::testing::Test {
 protected:
  AddressResponderTest() {
    NetworkConfig config;
    config.name = "nat";
    config.kind = NetworkKind::nat;
    config.subnet = Ipv4Prefix::parse("10.0.2.0/24");
    config.subnet6 = Ipv6Prefix::parse("fd17::/64");
    config.router = v4("10.0.2.2");
    config.dns_address = v4("10.0.2.3");
    config.router6 = v6("fd17::2");
    neighbours.set_network(config);
    responder.set_network(config);
  }

  void arp(const ArpMessage& message, Time now = kNow) {
    Bytes frame;
    append_ethernet(frame, kBroadcastMac, message.sender_mac, kEtherTypeArp);
    append_arp(frame, message);
    responder.on_arp(read_packet(frame), now);
  }
  void solicit(const Ipv6Address& source, const Ipv6Address& destination, const Ipv6Address& target,
               bool with_option = true) {
    Bytes body{135, 0, 0, 0, 0, 0, 0, 0};
    body.insert(body.end(), target.bytes().begin(), target.bytes().end());
    if (with_option) body.insert(body.end(), {1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56});
    finish_icmp6(body, source, destination);
    Bytes frame;
    append_ethernet(frame, MacAddress::from_number(0x3333ff000002), kGuest, kEtherTypeIpv6);
    append_ipv6(frame, {source, destination, kProtocolIcmp6, 255}, body.size());
    frame.insert(frame.end(), body.begin(), body.end());
    const Packet packet = read_packet(frame);
    const Reading<IcmpView> icmp = read_icmp(packet, false);
    ASSERT_TRUE(icmp);
    const Reading<NeighbourMessage> nd = read_neighbour(packet, icmp.value);
    ASSERT_TRUE(nd);
    responder.on_neighbour(packet, nd.value, kNow);
  }

  GatewayLink gateway;
  NeighbourTable neighbours;
  AddressResponder responder{*gateway.link, neighbours, gateway.log};
};

TEST_F(AddressResponderTest, HasAnAddressOfItsOwnThatStaysTheSame) {
  NetworkConfig config;
  config.name = "lab";
  const MacAddress by_name = gateway_mac(config);
  EXPECT_EQ(by_name, gateway_mac(config));
  EXPECT_EQ(by_name.number() >> 32, 0x5255U);
  config.dhcp_address = v4("192.168.56.100");
  EXPECT_EQ(gateway_mac(config).text(), "52:55:c0:a8:38:64");
  config.router = v4("10.0.2.2");
  EXPECT_EQ(gateway_mac(config).text(), "52:55:0a:00:02:02");
}

TEST_F(AddressResponderTest, AnswersForItsAddressesAndNoOther) {
  struct Row {
    const char* target;
    bool answers;
  };
  for (const Row& row : {Row{"10.0.2.2", true},
                         {"10.0.2.3", true},
                         {"10.0.2.4", false},
                         {"10.0.2.15", false},
                         {"0.0.0.0", false}}) {
    arp({ArpMessage::kRequest, kGuest, v4("10.0.2.15"), MacAddress(), v4(row.target)});
    const auto frames = gateway.take();
    ASSERT_EQ(frames.size(), row.answers ? 1U : 0U) << row.target;
    if (!row.answers) continue;
    const Packet packet = read_packet(frames[0]);
    EXPECT_EQ(packet.destination, kGuest);
    EXPECT_EQ(packet.arp.operation, ArpMessage::kReply);
    EXPECT_EQ(packet.arp.sender, v4(row.target));
    EXPECT_EQ(packet.arp.sender_mac, testing::kGatewayMac);
    EXPECT_EQ(packet.arp.target, v4("10.0.2.15"));
  }
  EXPECT_EQ(neighbours.mac_of(v4("10.0.2.15")), kGuest);
}

TEST_F(AddressResponderTest, AProbeIsAnsweredAndTeachesNothing) {
  arp({ArpMessage::kRequest, kGuest, Ipv4Address(), MacAddress(), v4("10.0.2.2")});
  EXPECT_EQ(gateway.take().size(), 1U);
  EXPECT_EQ(neighbours.size(), 0U);
}

TEST_F(AddressResponderTest, DefendsItsAddressOnceASecond) {
  for (int i = 0; i < 5; ++i) {
    arp({ArpMessage::kRequest, kGuest, v4("10.0.2.2"), MacAddress(), v4("10.0.2.2")},
        kNow + milliseconds(i));
  }
  const auto frames = gateway.take();
  ASSERT_EQ(frames.size(), 1U);
  const Packet packet = read_packet(frames[0]);
  EXPECT_EQ(packet.destination, kBroadcastMac);
  EXPECT_EQ(packet.arp.sender, packet.arp.target);
  EXPECT_EQ(packet.arp.sender_mac, testing::kGatewayMac);
  EXPECT_EQ(neighbours.size(), 0U);
}

TEST_F(AddressResponderTest, AdvertisesItselfToWhoeverAsks) {
  for (const Ipv6Address& target : {v6("fd17::2"), link_local_of(testing::kGatewayMac)}) {
    solicit(v6("fe80::15"), v6("ff02::1:ff00:2"), target);
    const auto frames = gateway.take();
    ASSERT_EQ(frames.size(), 1U) << target.text();
    const Packet packet = read_packet(frames[0]);
    EXPECT_EQ(packet.destination, kGuest);
    EXPECT_EQ(packet.to, IpAddress(v6("fe80::15")));
    const Reading<IcmpView> icmp = read_icmp(packet, false);
    ASSERT_TRUE(icmp);
    const Reading<NeighbourMessage> nd = read_neighbour(packet, icmp.value);
    ASSERT_TRUE(nd);
    EXPECT_EQ(icmp.value.message[4], 0xe0) << "router, solicited, override";
    EXPECT_EQ(nd.value.target, target);
    EXPECT_EQ(nd.value.link_layer, testing::kGatewayMac);
  }
  EXPECT_EQ(neighbours.mac_of(v6("fe80::15")), kGuest);
  solicit(v6("fe80::15"), v6("ff02::1:ff00:4"), v6("fd17::4"));
  EXPECT_TRUE(gateway.take().empty());
}

TEST_F(AddressResponderTest, TellsEverybodyWhenSomebodyTriesItsAddress) {
  solicit(Ipv6Address(), v6("ff02::1:ff00:2"), v6("fd17::2"), false);
  const auto frames = gateway.take();
  ASSERT_EQ(frames.size(), 1U);
  const Packet packet = read_packet(frames[0]);
  EXPECT_EQ(packet.destination.text(), "33:33:00:00:00:01");
  EXPECT_EQ(packet.to, IpAddress(v6("ff02::1")));
  EXPECT_EQ(packet.payload[4], 0xa0) << "router and override, not solicited";
}

TEST_F(AddressResponderTest, AnswersPings) {
  for (const bool is_v4 : {true, false}) {
    const IpAddress from = is_v4 ? IpAddress(v4("10.0.2.15")) : IpAddress(v6("fd17::15"));
    const IpAddress to = is_v4 ? IpAddress(v4("10.0.2.2")) : IpAddress(v6("fd17::2"));
    Bytes echo{is_v4 ? kIcmpEcho : kIcmp6EchoRequest, 0, 0, 0, 1, 2, 3, 4, 'p', 'i', 'n', 'g'};
    Bytes frame;
    append_ethernet(frame, testing::kGatewayMac, kGuest, is_v4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
    if (is_v4) {
      finish_icmp(echo);
      append_ipv4(frame, {from.v4(), to.v4(), kProtocolIcmp}, echo.size());
    } else {
      finish_icmp6(echo, from.v6(), to.v6());
      append_ipv6(frame, {from.v6(), to.v6(), kProtocolIcmp6}, echo.size());
    }
    frame.insert(frame.end(), echo.begin(), echo.end());
    const Packet request = read_packet(frame);
    responder.on_echo(request, read_icmp(request, false).value);
    const auto frames = gateway.take();
    ASSERT_EQ(frames.size(), 1U);
    const Packet reply = read_packet(frames[0]);
    EXPECT_EQ(reply.from, to);
    EXPECT_EQ(reply.to, from);
    const Reading<IcmpView> icmp = read_icmp(reply, false);
    ASSERT_TRUE(icmp);
    EXPECT_EQ(icmp.value.type, is_v4 ? kIcmpEchoReply : kIcmp6EchoReply);
    EXPECT_EQ(icmp.value.identifier, 0x0102);
    EXPECT_EQ(icmp.value.sequence, 0x0304);
    EXPECT_EQ(icmp.value.message.size(), echo.size());
  }
}

}  // namespace
}  // namespace lanyard
