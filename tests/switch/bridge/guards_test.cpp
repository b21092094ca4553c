// SPDX-License-Identifier: MIT
//
// Who may reach whom, from which addresses, and how much: guards that need no look into packets.
#include "switch/bridge/guards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "switch/bridge/spanning_tree.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::expect_balance;
using testing::frame;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kAlice;
using testing::kBob;
using testing::kBroadcast;
using testing::kCarol;
using testing::station;
using testing::TestSwitch;
using testing::WireFrame;

constexpr MacAddress kMulticast = MacAddress::from_number(0x01005e000001);

class GuardsTest : public ::testing::Test {
 protected:
  ~GuardsTest() override { expect_balance(*bridge); }

  void set(PortId id, std::initializer_list<std::pair<std::string_view, std::string_view>> values) {
    GuardSettings settings = Guards::of(bridge.port(id));
    for (const auto& [key, value] : values) {
      const Result<void> done = set_guard_field(settings, key, value);
      ASSERT_TRUE(done.ok()) << key << " " << value;
    }
    ASSERT_TRUE(bridge->set_guard(id, settings).ok());
  }
  std::uint64_t drops(PortId id, Drop why) { return bridge.port(id).counters.drops.of(why); }
  std::size_t got(PortId id) { return bridge.received(id).size(); }
  // Alice is behind 1, Bob behind 2, Carol behind 3.
  void meet() {
    bridge.send(1, frame().from(kAlice));
    bridge.send(2, frame().from(kBob));
    bridge.send(3, frame().from(kCarol));
    for (PortId id = 1; id <= 4; ++id) bridge.received(id);
    bridge.events().take();
  }

  TestSwitch bridge{4};
};

TEST_F(GuardsTest, WithoutOneThereIsNone) {
  set(1, {{"isolated", "on"}});
  EXPECT_NE(bridge.port(1).guard, nullptr);
  set(1, {{"isolated", "off"}});
  EXPECT_EQ(bridge.port(1).guard, nullptr) << "all off costs what none costs";
}

TEST_F(GuardsTest, IsolatedPortsReachOnlyOthers) {
  meet();
  for (const PortId id : {PortId{1}, PortId{2}}) set(id, {{"isolated", "on"}});
  bridge.send(1, frame().from(kAlice).to(kBob));
  bridge.send(1, frame().from(kAlice).to(kCarol));
  bridge.send(1, frame().from(kAlice).to(kBroadcast));
  bridge.send(1, frame().from(kAlice).to(station(99)));
  EXPECT_EQ(got(2), 0U);
  EXPECT_EQ(got(3), 3U);
  EXPECT_EQ(drops(1, Drop::isolated), 1U);
  bridge.send(3, frame().from(kCarol).to(kBob));
  bridge.send(3, frame().from(kCarol).to(kBroadcast));
  EXPECT_EQ(got(2), 2U);
  EXPECT_EQ(got(1), 1U);
}

TEST_F(GuardsTest, FloodsThatReachNobodyButIsolatedPortsAreCountedSo) {
  for (const PortId id : {PortId{1}, PortId{2}, PortId{3}, PortId{4}})
    set(id, {{"isolated", "on"}});
  bridge.send(1, frame().from(kAlice));
  EXPECT_EQ(drops(1, Drop::isolated), 1U);
  set(4, {{"trusted", "on"}});
  bridge.send(1, frame().from(kAlice));
  EXPECT_EQ(got(4), 1U) << "a trusted port is never isolated";
}

TEST_F(GuardsTest, IsolationHoldsInAHub) {
  bridge->set_hub(true);
  for (const PortId id : {PortId{1}, PortId{2}}) set(id, {{"isolated", "on"}});
  bridge.send(1, frame().from(kAlice).to(kBob));
  EXPECT_EQ(got(2), 0U);
  EXPECT_EQ(got(3), 1U);
}

TEST_F(GuardsTest, PromiscuousPoliciesSeeWhatTheySay) {
  meet();
  set(3, {{"trusted", "on"}});  // the host
  struct Row {
    std::string_view policy;
    std::size_t among_guests, with_host, others;
  };
  for (const Row& row :
       {Row{"deny", 0, 0, 1}, Row{"allow-vms", 1, 0, 1}, Row{"allow-all", 1, 1, 1}}) {
    set(4, {{"promiscuous", row.policy}});
    bridge.send(1, frame().from(kAlice).to(kBob));
    EXPECT_EQ(got(4), row.among_guests) << row.policy;
    bridge.send(1, frame().from(kAlice).to(kCarol));
    EXPECT_EQ(got(4), row.with_host) << row.policy;
    bridge.send(3, frame().from(kCarol).to(kAlice));
    EXPECT_EQ(got(4), row.with_host) << row.policy;
    bridge.send(1, frame().from(kAlice).to(kBroadcast));
    EXPECT_EQ(got(4), row.others) << row.policy;
  }
  EXPECT_EQ(got(2), 6U) << "and those it was for get it once";
}

TEST_F(GuardsTest, ListenersSeeNothingOfOtherVlans) {
  ASSERT_TRUE(bridge->vlans().create(10).ok());
  set(4, {{"promiscuous", "allow-all"}});
  for (const PortId id : {PortId{1}, PortId{2}}) ASSERT_TRUE(bridge->set_native_vlan(id, 10).ok());
  meet();
  bridge.send(1, frame().from(kAlice).to(kBob));
  EXPECT_EQ(got(2), 1U);
  EXPECT_EQ(got(4), 0U);
  ASSERT_TRUE(bridge->vlans().add_tagged(10, 4).ok());
  bridge.send(1, frame().from(kAlice).to(kBob));
  EXPECT_THAT(bridge.received(4), ElementsAre(frame().from(kAlice).to(kBob).tag(10)));
}

TEST_F(GuardsTest, APortHasSoManyAddresses) {
  set(1, {{"max_macs", "3"}});
  for (std::uint64_t i = 0; i < 10; ++i) bridge.send(1, frame().from(station(i)));
  EXPECT_EQ(got(2), 3U);
  EXPECT_EQ(drops(1, Drop::mac_limit), 7U);
  bridge.send(1, frame().from(station(1)));
  EXPECT_EQ(got(2), 1U) << "those it has keep their place";
  bridge.advance(seconds(200));
  bridge.sweep();
  bridge.send(1, frame().from(station(9)));
  EXPECT_EQ(got(2), 1U) << "those it no longer has leave it";
}

TEST_F(GuardsTest, StickyKeepsTheFirstAddresses) {
  set(1, {{"max_macs", "1"}, {"sticky", "on"}});
  bridge.send(1, frame().from(kAlice));
  bridge.send(1, frame().from(kBob));
  bridge.advance(seconds(1000));
  bridge.sweep();
  bridge.send(1, frame().from(kBob));
  bridge.send(1, frame().from(kAlice));
  EXPECT_EQ(got(2), 2U);
  EXPECT_EQ(drops(1, Drop::mac_spoofed), 2U);
  bridge.unplug(1);
  bridge.plug(1);
  bridge.send(1, frame().from(kBob));
  EXPECT_EQ(got(2), 1U) << "the next guest is somebody else";
}

TEST_F(GuardsTest, OnlyListedAddressesAreSources) {
  set(1, {{"macs", "02:00:00:00:00:a1"}});
  bridge.send(1, frame().from(kAlice));
  bridge.send(1, frame().from(kBob));
  bridge.send(1, frame().from(kBroadcast));
  EXPECT_EQ(got(2), 1U);
  EXPECT_EQ(drops(1, Drop::mac_spoofed), 2U);
  EXPECT_EQ(bridge->macs().find(kBob, 0), kPortNone) << "nor learned";
}

TEST_F(GuardsTest, ViolationsCanShutThePort) {
  set(1, {{"macs", "02:00:00:00:00:a1"}, {"on_violation", "shut"}});
  bridge.send(1, {frame().from(kBob), frame().from(kBob), frame().from(kAlice)});
  EXPECT_FALSE(bridge.port(1).link_up);
  EXPECT_THAT(bridge.events().take(),
              ::testing::Contains("port 1 shut: 1 mac_spoofed from 02:00:00:00:00:b2"));
  bridge.send(1, frame().from(kAlice));
  EXPECT_EQ(drops(1, Drop::link_admin_down), 1U);
  ASSERT_TRUE(bridge->set_link(1, true).ok());
  bridge.received(2);
  bridge.send(1, frame().from(kAlice));
  EXPECT_EQ(got(2), 1U);
}

TEST_F(GuardsTest, StormsAreHeldByKind) {
  meet();
  set(1, {{"broadcast_pps", "100"}, {"multicast_pps", "200"}, {"unknown_pps", "300"}});
  struct Row {
    MacAddress to;
    std::size_t burst;
    Drop why;
  };
  for (const Row& row :
       {Row{kBroadcast, 16, Drop::broadcast_storm}, Row{kMulticast, 20, Drop::multicast_storm},
        Row{station(77), 30, Drop::unknown_storm}}) {
    bridge.send(1, std::vector<WireFrame>(100, frame().from(kAlice).to(row.to)));
    EXPECT_EQ(got(2), row.burst);
    EXPECT_EQ(drops(1, row.why), 100 - row.burst);
  }
  bridge.send(1, std::vector<WireFrame>(100, frame().from(kAlice).to(kBob)));
  EXPECT_EQ(got(2), 100U) << "what has one receiver is no storm";
  bridge.send(2, std::vector<WireFrame>(100, frame().from(kBob)));
  EXPECT_EQ(got(3) >= 100U, true) << "nor what others send";
  bridge.advance(milliseconds(50));
  got(2);
  bridge.send(1, std::vector<WireFrame>(100, frame().from(kAlice)));
  EXPECT_EQ(got(2), 5U);
}

TEST_F(GuardsTest, RatesHoldBothWays) {
  meet();
  set(1, {{"rate_in", "1M"}, {"burst_in", "10K"}});
  const std::vector<WireFrame> many(100, frame().from(kAlice).to(kBob).size(1000));
  bridge.send(1, many);
  EXPECT_EQ(got(2), 10U);
  EXPECT_EQ(drops(1, Drop::rate_limit), 90U);
  set(1, {{"rate_in", "off"}});
  set(2, {{"rate_out", "1M"}, {"burst_out", "20K"}});
  bridge.advance(seconds(1));
  bridge.send(1, many);
  EXPECT_EQ(got(2), 20U);
  EXPECT_EQ(drops(2, Drop::rate_limit_out), 80U);
  bridge.advance(milliseconds(5));
  bridge.send(1, many);
  EXPECT_EQ(got(2), 5U);
}

TEST_F(GuardsTest, ABandwidthGroupIsSharedByItsPorts) {
  meet();
  EXPECT_THAT(bridge
                  ->set_guard(1,
                              [] {
                                GuardSettings settings;
                                settings.bandwidth_group = "slow";
                                return settings;
                              }())
                  .error()
                  .text,
              HasSubstr("no bandwidth group 'slow'"));
  ASSERT_TRUE(bridge->guards().set_group({"slow", {1'000'000, 10'000}}).ok());
  for (const PortId id : {PortId{1}, PortId{3}}) set(id, {{"bandwidth_group", "slow"}});
  bridge.send(1, std::vector<WireFrame>(6, frame().from(kAlice).to(kBob).size(1000)));
  bridge.send(3, std::vector<WireFrame>(6, frame().from(kCarol).to(kBob).size(1000)));
  EXPECT_EQ(got(2), 10U);
  EXPECT_EQ(drops(3, Drop::group_limit), 2U);
  EXPECT_FALSE(bridge->guards().remove_group("slow").ok()) << "it has ports";
  ASSERT_TRUE(bridge->guards().set_group({"slow", {}}).ok());
  bridge.send(3, std::vector<WireFrame>(600, frame().from(kCarol).to(kBob).size(1000)));
  EXPECT_EQ(got(2), 600U) << "0 is unlimited, at once";
  for (const PortId id : {PortId{1}, PortId{3}}) set(id, {{"bandwidth_group", "none"}});
  EXPECT_TRUE(bridge->guards().remove_group("slow").ok());
}

TEST_F(GuardsTest, AFloodOfViolationsIsAFewEvents) {
  set(1, {{"macs", "02:00:00:00:00:a1"}});
  bridge.send(1, std::vector<WireFrame>(1000, frame().from(kBob)));
  EXPECT_THAT(bridge.events().take(),
              ElementsAre("port 1 dropped 1 mac_spoofed from 02:00:00:00:00:b2"));
  bridge.advance(seconds(10));
  bridge.send(1, std::vector<WireFrame>(10, frame().from(kBob)));
  EXPECT_THAT(bridge.events().take(),
              ElementsAre("port 1 dropped 1000 mac_spoofed from 02:00:00:00:00:b2"));
}

TEST_F(GuardsTest, RootGuardIsTheSpanningTrees) {
  set(1, {{"root_guard", "on"}});
  EXPECT_TRUE(bridge->spanning_tree().has_root_guard(1));
  set(1, {{"isolated", "on"}});
  EXPECT_TRUE(bridge->spanning_tree().has_root_guard(1));
  set(1, {{"root_guard", "off"}});
  EXPECT_FALSE(bridge->spanning_tree().has_root_guard(1));
  bridge->guard_by_default.root_guard = true;
  bridge.plug(7);
  EXPECT_TRUE(bridge->spanning_tree().has_root_guard(7));
}

TEST_F(GuardsTest, NewPortsHaveTheDefault) {
  bridge->guard_by_default.max_macs = 1;
  bridge.plug(7);
  EXPECT_EQ(Guards::of(bridge.port(7)).max_macs, 1U);
  EXPECT_EQ(Guards::of(bridge.port(1)).max_macs, 0U);
}

TEST_F(GuardsTest, ASuccessorHasThemToo) {
  ASSERT_TRUE(bridge->guards().set_group({"slow", {1'000'000, 0}}).ok());
  bridge->guard_by_default.isolated = true;
  set(1, {{"max_macs", "1"}, {"sticky", "on"}, {"bandwidth_group", "slow"}});
  set(2, {{"promiscuous", "allow-all"}, {"rate_out", "3M"}});
  bridge.send(1, frame().from(kAlice));
  TestSwitch successor;
  ASSERT_TRUE(successor->restore(bridge->state()).ok());
  EXPECT_EQ(successor->state(), bridge->state());
  for (PortId id = 1; id <= 2; ++id) successor.plug(id);
  successor.send(1, frame().from(kBob));
  EXPECT_THAT(successor.received(2), IsEmpty());
  EXPECT_EQ(successor.port(1).counters.drops.of(Drop::mac_spoofed), 1U);
}

}  // namespace
}  // namespace lanyard
