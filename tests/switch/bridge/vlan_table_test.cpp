// SPDX-License-Identifier: MIT
#include "switch/bridge/vlan_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cerrno>
#include <map>
#include <ostream>
#include <set>

namespace lanyard {

inline bool operator==(const VlanMember& a, const VlanMember& b) {
  return a.port == b.port && a.tagged == b.tagged;
}
inline void PrintTo(const VlanMember& member, std::ostream* out) {
  *out << "port " << member.port << (member.tagged ? " tagged" : "");
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr bool kTagged = true;

// The errno of a refusal, 0 for success.
int code_of(const Result<void>& result) {
  return result ? 0 : result.error().code;
}

class VlanTableTest : public ::testing::Test {
 protected:
  VlanTableTest() {
    for (PortId port = 1; port <= 4; ++port) {
      vlans_.add_port(port);
      vlans_.set_active(port, true);
    }
    EXPECT_TRUE(vlans_.create(10).ok());
    EXPECT_TRUE(vlans_.create(20).ok());
  }

  VlanTable vlans_;
};

TEST(VlanTable, HasVlanZeroFromTheStart) {
  const VlanTable vlans;
  EXPECT_TRUE(vlans.exists(0));
  EXPECT_FALSE(vlans.exists(1));
  EXPECT_THAT(vlans.members(0), IsEmpty());
}

TEST(VlanTable, CreatesVlans) {
  const struct {
    VlanId vlan;
    int code;
  } rows[] = {{1, 0},      {4093, 0},      {4094, 0},      {1, EEXIST},    {4094, EEXIST},
              {0, EINVAL}, {4095, EINVAL}, {4096, EINVAL}, {65535, EINVAL}};
  VlanTable vlans;
  for (const auto& row : rows) EXPECT_EQ(code_of(vlans.create(row.vlan)), row.code) << row.vlan;
  EXPECT_TRUE(vlans.exists(4094));
  EXPECT_FALSE(vlans.exists(4095));
}

TEST_F(VlanTableTest, RemovesOnlyEmptyVlans) {
  ASSERT_TRUE(vlans_.set_native(1, 10).ok());
  ASSERT_TRUE(vlans_.add_tagged(20, 1).ok());
  EXPECT_EQ(code_of(vlans_.remove(10)), EADDRINUSE);
  EXPECT_EQ(code_of(vlans_.remove(20)), EADDRINUSE);
  EXPECT_EQ(code_of(vlans_.remove(0)), EADDRINUSE);
  EXPECT_EQ(code_of(vlans_.remove(99)), ENXIO);
  EXPECT_EQ(code_of(vlans_.remove(4095)), EINVAL);
  EXPECT_EQ(code_of(vlans_.remove(9999)), EINVAL);
  ASSERT_TRUE(vlans_.set_native(1, 0).ok());
  ASSERT_TRUE(vlans_.remove_tagged(20, 1).ok());
  EXPECT_EQ(code_of(vlans_.remove(10)), 0);
  EXPECT_EQ(code_of(vlans_.remove(20)), 0);
  EXPECT_FALSE(vlans_.exists(10));
}

TEST_F(VlanTableTest, PutsNewPortsIntoVlanZeroUntagged) {
  EXPECT_THAT(vlans_.members(0),
              ElementsAre(VlanMember{1}, VlanMember{2}, VlanMember{3}, VlanMember{4}));
  EXPECT_EQ(vlans_.native(1), 0);
}

TEST_F(VlanTableTest, MovesAPortOutOfItsOldNativeVlan) {
  ASSERT_TRUE(vlans_.set_native(1, 10).ok());
  EXPECT_FALSE(vlans_.is_member(0, 1));
  EXPECT_TRUE(vlans_.is_member(10, 1));
  EXPECT_FALSE(vlans_.is_tagged(10, 1));
  ASSERT_TRUE(vlans_.set_native(1, 20).ok());
  EXPECT_FALSE(vlans_.is_member(10, 1));
}

TEST_F(VlanTableTest, EndsTaggedMembershipOfTheNewNativeVlan) {
  ASSERT_TRUE(vlans_.add_tagged(10, 1).ok());
  EXPECT_TRUE(vlans_.is_tagged(10, 1));
  ASSERT_TRUE(vlans_.set_native(1, 10).ok());
  EXPECT_FALSE(vlans_.is_tagged(10, 1));
  ASSERT_TRUE(vlans_.set_native(1, 0).ok());
  EXPECT_FALSE(vlans_.is_member(10, 1)) << "and does not come back";
}

TEST_F(VlanTableTest, TakesAPortWithoutAnUntaggedVlan) {
  ASSERT_TRUE(vlans_.set_native(1, kVlanNone).ok());
  EXPECT_EQ(vlans_.native(1), kVlanNone);
  EXPECT_FALSE(vlans_.is_member(0, 1));
  EXPECT_FALSE(vlans_.is_member(kVlanNone, 1));
  ASSERT_TRUE(vlans_.set_native(1, 0).ok());
  EXPECT_TRUE(vlans_.is_member(0, 1));
}

TEST_F(VlanTableTest, RefusesVlansThatDoNotExist) {
  EXPECT_EQ(code_of(vlans_.set_native(1, 77)), ENXIO);
  EXPECT_EQ(code_of(vlans_.set_native(1, 4094)), ENXIO);
  EXPECT_EQ(code_of(vlans_.add_tagged(77, 1)), ENXIO);
  EXPECT_EQ(code_of(vlans_.remove_tagged(77, 1)), ENXIO);
  EXPECT_EQ(vlans_.native(1), 0) << "and changes nothing";
}

TEST_F(VlanTableTest, AcceptsTaggingTheNativeVlanWithoutEffect) {
  ASSERT_TRUE(vlans_.set_native(1, 10).ok());
  EXPECT_EQ(code_of(vlans_.add_tagged(10, 1)), 0);
  EXPECT_FALSE(vlans_.is_tagged(10, 1));
  EXPECT_EQ(code_of(vlans_.remove_tagged(10, 1)), EADDRINUSE);
  EXPECT_TRUE(vlans_.is_member(10, 1));
}

TEST_F(VlanTableTest, TagsVlanZeroForAPortThatIsNativeElsewhere) {
  ASSERT_TRUE(vlans_.set_native(1, 10).ok());
  ASSERT_TRUE(vlans_.add_tagged(0, 1).ok());
  EXPECT_TRUE(vlans_.is_tagged(0, 1));
}

TEST_F(VlanTableTest, RemovesTagsAsOftenAsAsked) {
  ASSERT_TRUE(vlans_.add_tagged(10, 1).ok());
  EXPECT_EQ(code_of(vlans_.remove_tagged(10, 1)), 0);
  EXPECT_EQ(code_of(vlans_.remove_tagged(10, 1)), 0);
  EXPECT_FALSE(vlans_.is_member(10, 1));
}

TEST_F(VlanTableTest, KeepsMembershipWhileAPortIsUnplugged) {
  ASSERT_TRUE(vlans_.set_native(1, 10).ok());
  ASSERT_TRUE(vlans_.add_tagged(20, 1).ok());
  vlans_.set_active(1, false);
  EXPECT_THAT(vlans_.members(10), ElementsAre(VlanMember{1}));
  EXPECT_THAT(vlans_.members(20), ElementsAre(VlanMember{1, kTagged}));
  EXPECT_THAT(vlans_.plan(10).flood, IsEmpty()) << "but floods nothing to it";
  vlans_.set_active(1, true);
  EXPECT_THAT(vlans_.plan(10).flood, ElementsAre(VlanMember{1}));
}

TEST_F(VlanTableTest, ForgetsARemovedPort) {
  ASSERT_TRUE(vlans_.set_native(1, 10).ok());
  ASSERT_TRUE(vlans_.add_tagged(20, 1).ok());
  vlans_.set_state(10, 1, PortState::discarding);
  vlans_.remove_port(1);
  EXPECT_THAT(vlans_.members(10), IsEmpty());
  EXPECT_THAT(vlans_.members(20), IsEmpty());
  vlans_.add_port(1);
  EXPECT_EQ(vlans_.native(1), 0);
  EXPECT_FALSE(vlans_.is_active(1));
  EXPECT_EQ(vlans_.state(10, 1), PortState::forwarding);
}

TEST_F(VlanTableTest, PlansFloodsInAscendingOrderWithTags) {
  ASSERT_TRUE(vlans_.set_native(4, 10).ok());
  ASSERT_TRUE(vlans_.set_native(2, 10).ok());
  ASSERT_TRUE(vlans_.add_tagged(10, 3).ok());
  EXPECT_THAT(vlans_.plan(10).flood,
              ElementsAre(VlanMember{2}, VlanMember{3, kTagged}, VlanMember{4}));
  EXPECT_THAT(vlans_.plan(0).flood, ElementsAre(VlanMember{1}, VlanMember{3}));
}

TEST_F(VlanTableTest, FloodsAndForwardsOnlyToForwardingPorts) {
  vlans_.set_state(0, 2, PortState::discarding);
  vlans_.set_state(0, 3, PortState::learning);
  const VlanPlan& plan = vlans_.plan(0);
  EXPECT_THAT(plan.flood, ElementsAre(VlanMember{1}, VlanMember{4}));
  EXPECT_FALSE(plan.forwarding.has(2));
  EXPECT_FALSE(plan.forwarding.has(3));
  EXPECT_FALSE(plan.learning.has(2));
  EXPECT_TRUE(plan.learning.has(3));
  EXPECT_EQ(vlans_.state(0, 2), PortState::discarding);
  EXPECT_EQ(vlans_.state(0, 3), PortState::learning);
  vlans_.set_state(0, 2, PortState::forwarding);
  EXPECT_TRUE(vlans_.plan(0).forwarding.has(2));
}

TEST_F(VlanTableTest, HasAStatePerVlan) {
  ASSERT_TRUE(vlans_.add_tagged(10, 1).ok());
  vlans_.set_state(10, 1, PortState::discarding);
  EXPECT_TRUE(vlans_.plan(0).forwarding.has(1));
  EXPECT_FALSE(vlans_.plan(10).forwarding.has(1));
  vlans_.set_state(77, 1, PortState::discarding);
  EXPECT_EQ(vlans_.state(77, 1), PortState::discarding) << "of no VLAN: nothing passes";
}

// The plan, which is built ahead, says the same as the rules, which are asked one by one.
RC_GTEST_PROP(VlanTableModel, PlansSayWhatTheRulesSay, ()) {
  constexpr PortId kPorts = 6;
  const std::vector<VlanId> numbers{0, 1, 2, 4094};
  VlanTable vlans;
  std::map<PortId, VlanId> native;
  std::map<VlanId, std::set<PortId>> tagged;
  std::set<PortId> active;
  for (const VlanId vlan : numbers) RC_ASSERT(vlans.create(vlan).ok() == (vlan != 0));
  for (PortId port = 0; port < kPorts; ++port) {
    vlans.add_port(port);
    native[port] = 0;
  }
  const auto steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) {
    const auto port = *rc::gen::inRange<PortId>(0, kPorts);
    const VlanId vlan = *rc::gen::elementOf(numbers);
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
        RC_ASSERT(vlans.set_native(port, vlan).ok());
        native[port] = vlan;
        tagged[vlan].erase(port);
        break;
      case 1:
        RC_ASSERT(vlans.set_native(port, kVlanNone).ok());
        native[port] = kVlanNone;
        break;
      case 2:
        RC_ASSERT(vlans.add_tagged(vlan, port).ok());
        if (native[port] != vlan) tagged[vlan].insert(port);
        break;
      case 3:
        RC_ASSERT(vlans.remove_tagged(vlan, port).ok() == (native[port] != vlan));
        if (native[port] != vlan) tagged[vlan].erase(port);
        break;
      default:
        vlans.set_active(port, vlan != 0);
        if (vlan != 0) active.insert(port);
        if (vlan == 0) active.erase(port);
        break;
    }
    for (const VlanId v : numbers) {
      std::vector<VlanMember> flood;
      for (PortId p = 0; p < kPorts; ++p) {
        const bool member = native[p] == v || tagged[v].contains(p);
        RC_ASSERT(vlans.is_member(v, p) == member);
        RC_ASSERT(vlans.plan(v).forwarding.has(p) == member);
        if (member && active.contains(p)) flood.push_back({p, tagged[v].contains(p)});
      }
      RC_ASSERT(vlans.plan(v).flood == flood);
    }
  }
}

}  // namespace
}  // namespace lanyard
