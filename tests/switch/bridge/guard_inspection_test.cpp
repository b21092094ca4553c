// SPDX-License-Identifier: MIT
//
// Guards that look into packets, at a switch: port 1 is the host's and trusted, 2 and 3 are guests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/hostile_packets.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using namespace testing::hostile;  // NOLINT: it is the vocabulary of this file
using std::chrono::seconds;
using testing::Bytes;
using testing::expect_balance;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::kBroadcast;
using testing::kCarol;
using testing::TestSwitch;
using testing::WireFrame;

constexpr MacAddress kHost = MacAddress::from_number(0x020000000001);
constexpr unsigned kUdp = 17;
constexpr unsigned kIcmp6 = 58;

WireFrame v4(MacAddress from, std::string_view source, unsigned protocol, const Bytes& payload) {
  return ethernet(kBroadcast, from, 0x0800, ipv4(source, "10.0.0.255", protocol, payload));
}
WireFrame v6(MacAddress from, std::string_view source, unsigned next, const Bytes& payload) {
  return ethernet(kBroadcast, from, 0x86dd, ipv6(source, "ff02::1", next, payload));
}
WireFrame arp_from(MacAddress from, std::string_view address, MacAddress claimed) {
  return ethernet(kBroadcast, from, 0x0806, arp_reply(claimed, address, "10.0.0.254"));
}

class GuardInspectionTest : public ::testing::Test {
 protected:
  GuardInspectionTest() {
    set(1, {{"trusted", "on"}});
    bridge.send(1, frame().from(kHost));
    bridge.send(2, frame().from(kAlice));
    bridge.send(3, frame().from(kBob));
    drain();
  }
  ~GuardInspectionTest() override { expect_balance(*bridge); }

  void set(PortId id, std::initializer_list<std::pair<std::string_view, std::string_view>> values) {
    GuardSettings settings = Guards::of(bridge.port(id));
    for (const auto& [key, value] : values) {
      ASSERT_TRUE(set_guard_field(settings, key, value).ok()) << key << " " << value;
    }
    ASSERT_TRUE(bridge->set_guard(id, settings).ok());
  }
  void drain() {
    for (PortId id = 1; id <= 3; ++id) bridge.received(id);
  }
  // What became of a frame of a guest: none when it has arrived.
  Drop fate(PortId id, const WireFrame& wire) {
    drain();
    const DropCounters before = bridge.port(id).counters.drops;
    bridge.send(id, wire);
    const DropCounters& after = bridge.port(id).counters.drops;
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      if (after.of(static_cast<Drop>(i)) != before.of(static_cast<Drop>(i))) {
        return static_cast<Drop>(i);
      }
    }
    EXPECT_EQ(bridge.received(id == 2 ? 3 : 2).size(), 1U);
    return Drop::none;
  }
  void lease(MacAddress client, std::string_view address, std::uint32_t lease_s = 3600) {
    bridge.send(1,
                v4(kHost, "10.0.0.254", kUdp, udp(67, 68, dhcp(2, 5, client, address, lease_s))));
  }

  TestSwitch bridge{3};
};

TEST_F(GuardInspectionTest, RoguesAreDroppedByName) {
  const WireFrame offer = v4(kAlice, "10.0.0.66", kUdp, udp(67, 68, dhcp(2, 2, kBob, "10.0.0.9")));
  const WireFrame reply = v6(kAlice, "fe80::a", kUdp, udp(547, 546, dhcpv6("fd00::9")));
  const WireFrame ra = v6(kAlice, "fe80::a", kIcmp6, advertisement());
  const WireFrame masked =
      v6(kAlice, "fe80::a", 44, fragment_header(60, 0, true, extension(kIcmp6, {}, 1)));
  for (const WireFrame& wire : {offer, reply, ra, masked}) EXPECT_EQ(fate(2, wire), Drop::none);
  set(2, {{"dhcp_guard", "on"}, {"dhcpv6_guard", "on"}, {"ra_guard", "on"}});
  EXPECT_EQ(fate(2, offer), Drop::rogue_dhcp);
  EXPECT_EQ(fate(2, reply), Drop::rogue_dhcpv6);
  EXPECT_EQ(fate(2, ra), Drop::rogue_ra);
  EXPECT_EQ(fate(2, masked), Drop::unprovable);
  EXPECT_EQ(fate(2, v6(kAlice, "fe80::a", 0, extension(kIcmp6, advertisement()))), Drop::rogue_ra);
  for (const WireFrame& harmless :
       {v4(kAlice, "0.0.0.0", kUdp, udp(68, 67, dhcp(1, 1, kAlice, "0.0.0.0"))),
        v4(kAlice, "10.0.0.5", 6, zeros(20)),
        v6(kAlice, "fe80::a", kIcmp6, neighbour(136, "fe80::a")),
        v6(kAlice, "fe80::a", kIcmp6, join({u8(133), zeros(7)})),
        arp_from(kAlice, "10.0.0.5", kAlice),
        v4(kAlice, "10.0.0.5", kUdp, udp(5353, 5353, zeros(9)))}) {
    EXPECT_EQ(fate(2, harmless), Drop::none);
  }
  EXPECT_EQ(fate(3, offer), Drop::none) << "the port of the guest that is the server";
}

TEST_F(GuardInspectionTest, TheHostMayAdvertise) {
  set(1, {{"dhcp_guard", "on"}, {"ra_guard", "on"}});
  EXPECT_EQ(fate(1, v6(kHost, "fe80::1", kIcmp6, advertisement())), Drop::none);
}

TEST_F(GuardInspectionTest, InnerTagsHideNothing) {
  bridge.port(2).pass_tags = true;
  set(2, {{"ra_guard", "on"}});
  WireFrame tagged = v6(kAlice, "fe80::a", kIcmp6, advertisement());
  const Bytes tag = join({u16(0x8100), u16(77)});
  tagged.bytes.insert(tagged.bytes.begin() + 12, tag.begin(), tag.end());
  EXPECT_EQ(fate(2, tagged), Drop::rogue_ra);
}

TEST_F(GuardInspectionTest, ABpduShutsAGuardedPort) {
  const WireFrame bpdu = ethernet(MacAddress::from_number(0x0180c2000000), kAlice, 38,
                                  join({u16(0x4242), u8(3), zeros(35)}));
  EXPECT_EQ(fate(2, bpdu), Drop::none) << "no guard, no spanning tree: a frame like any other";
  set(2, {{"bpdu_guard", "on"}});
  EXPECT_EQ(fate(2, bpdu), Drop::guarded_bpdu);
  EXPECT_FALSE(bridge.port(2).link_up);
}

TEST_F(GuardInspectionTest, SourcesAreThoseThatDhcpGave) {
  set(2, {{"ip_source_guard", "on"}});
  EXPECT_EQ(fate(2, v4(kAlice, "10.0.0.5", 6, zeros(20))), Drop::ip_spoofed);
  EXPECT_EQ(fate(2, v4(kAlice, "0.0.0.0", kUdp, udp(68, 67, dhcp(1, 1, kAlice, "0.0.0.0")))),
            Drop::none);
  lease(kAlice, "10.0.0.5", 60);
  EXPECT_EQ(fate(2, v4(kAlice, "10.0.0.5", 6, zeros(20))), Drop::none);
  EXPECT_EQ(fate(2, v4(kCarol, "10.0.0.5", 6, zeros(20))), Drop::ip_spoofed) << "another station";
  EXPECT_EQ(fate(2, v4(kAlice, "10.0.0.6", 6, zeros(20))), Drop::ip_spoofed);
  EXPECT_EQ(fate(3, v4(kBob, "10.0.0.6", 6, zeros(20))), Drop::none) << "no guard there";
  bridge.advance(seconds(60));
  EXPECT_EQ(fate(2, v4(kAlice, "10.0.0.5", 6, zeros(20))), Drop::ip_spoofed) << "no longer";
}

TEST_F(GuardInspectionTest, WhatIsGivenBackIsNobodys) {
  set(2, {{"ip_source_guard", "on"}});
  lease(kAlice, "10.0.0.5");
  EXPECT_EQ(fate(2, v4(kAlice, "10.0.0.5", kUdp, udp(68, 67, dhcp(1, 7, kAlice, "10.0.0.5")))),
            Drop::none);
  EXPECT_EQ(fate(2, v4(kAlice, "10.0.0.5", 6, zeros(20))), Drop::ip_spoofed);
}

TEST_F(GuardInspectionTest, AGuestThatActsAsServerBindsNothing) {
  set(2, {{"ip_source_guard", "on"}, {"dhcp_guard", "on"}});
  set(3, {{"ip_source_guard", "on"}, {"dhcp_guard", "on"}});
  bridge.send(3, v4(kBob, "0.0.0.0", kUdp, udp(67, 68, dhcp(2, 5, kBob, "10.0.0.5"))));
  EXPECT_EQ(bridge->guards().bindings().size(), 0U);
}

TEST_F(GuardInspectionTest, Ipv6AddressesAreThoseAskedForFirst) {
  set(2, {{"ip_source_guard", "on"}, {"arp_inspection", "on"}});
  set(3, {{"ip_source_guard", "on"}, {"arp_inspection", "on"}});
  const auto probe = [](MacAddress from, std::string_view target) {
    return v6(from, "::", kIcmp6, neighbour(135, target));
  };
  EXPECT_EQ(fate(2, v6(kAlice, "fd00::a", 6, zeros(20))), Drop::ip_spoofed);
  EXPECT_EQ(fate(2, probe(kAlice, "fd00::a")), Drop::none);
  EXPECT_EQ(fate(2, v6(kAlice, "fd00::a", 6, zeros(20))), Drop::none);
  EXPECT_EQ(fate(2, v6(kAlice, "fd00::a", kIcmp6, neighbour(136, "fd00::a", kAlice))), Drop::none);
  EXPECT_EQ(fate(3, probe(kBob, "fd00::a")), Drop::nd_spoofed) << "somebody else's";
  EXPECT_EQ(fate(3, v6(kBob, "fd00::a", 6, zeros(20))), Drop::ip_spoofed);
  EXPECT_EQ(fate(3, v6(kBob, "fe80::b", kIcmp6, neighbour(136, "fd00::a", kBob))),
            Drop::nd_spoofed);
  EXPECT_EQ(fate(3, v6(kBob, "fe80::b", kIcmp6, neighbour(135, "fd00::1", kAlice))),
            Drop::nd_spoofed)
      << "in another's name";
  EXPECT_EQ(fate(3, v6(kBob, "fe80::b", kIcmp6, neighbour(135, "fd00::1", kBob))), Drop::none);
  EXPECT_EQ(fate(3, v6(kBob, "fe80::b", 44,
                       fragment_header(kIcmp6, 0, false, neighbour(136, "fe80::b", kBob)))),
            Drop::nd_spoofed)
      << "RFC 6980";
}

TEST_F(GuardInspectionTest, Dhcpv6BindsToo) {
  set(2, {{"ip_source_guard", "on"}});
  bridge.send(1, ethernet(kAlice, kHost, 0x86dd,
                          ipv6("fe80::1", "fe80::a", kUdp, udp(547, 546, dhcpv6("fd00::9")))));
  EXPECT_EQ(fate(2, v6(kAlice, "fd00::9", 6, zeros(20))), Drop::none);
}

TEST_F(GuardInspectionTest, ArpTellsOnlyTheTruth) {
  set(2, {{"arp_inspection", "on"}});
  lease(kAlice, "10.0.0.5");
  EXPECT_EQ(fate(2, arp_from(kAlice, "10.0.0.5", kAlice)), Drop::none);
  EXPECT_EQ(fate(2, arp_from(kAlice, "0.0.0.0", kAlice)), Drop::none) << "a probe";
  EXPECT_EQ(fate(2, arp_from(kAlice, "10.0.0.254", kAlice)), Drop::arp_spoofed) << "the router's";
  EXPECT_EQ(fate(2, arp_from(kAlice, "10.0.0.5", kBob)), Drop::arp_spoofed);
  EXPECT_EQ(fate(2, arp_from(kCarol, "10.0.0.5", kCarol)), Drop::arp_spoofed);
  EXPECT_EQ(fate(2, ethernet(kBroadcast, kAlice, 0x0806, zeros(5))), Drop::arp_spoofed);
  ASSERT_TRUE(bridge->guards()
                  .bindings()
                  .say(IpAddress::parse("10.0.0.77").value(), kAlice, kPortNone)
                  .ok());
  EXPECT_EQ(fate(2, arp_from(kAlice, "10.0.0.77", kAlice)), Drop::none) << "an operator said so";
}

TEST_F(GuardInspectionTest, BindingsGoWithTheGuestAndStayForASuccessor) {
  set(2, {{"ip_source_guard", "on"}});
  lease(kAlice, "10.0.0.5");
  TestSwitch successor;
  ASSERT_TRUE(successor->restore(bridge->state()).ok());
  EXPECT_EQ(successor->guards().bindings().size(), 1U);
  bridge.unplug(2);
  EXPECT_EQ(bridge->guards().bindings().size(), 0U);
}

TEST_F(GuardInspectionTest, ASplitFrameIsReadWhole) {
  set(2, {{"ra_guard", "on"}});
  WireFrame wire = v6(kAlice, "fe80::a", 0, extension(kIcmp6, advertisement()));
  FrameRef split = testing::frame_of(bridge.pool(), wire);
  std::uint8_t* const data = split->segments[0].data;
  split->segments[0].size = 60;
  split->segments[1] = {data + 60, static_cast<std::uint32_t>(wire.bytes.size() - 60)};
  split->segment_count = 2;
  FrameBatch batch;
  batch.push(std::move(split));
  bridge->forward(bridge.port(2), batch);
  EXPECT_EQ(bridge.port(2).counters.drops.of(Drop::rogue_ra), 1U);
}

}  // namespace
}  // namespace lanyard
