// SPDX-License-Identifier: MIT
//
// The spanning tree in a switch: frames, VLANs, ports that come and go. What the engine decides is
// in rstp_test.cpp.
#include "switch/bridge/spanning_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/frame_builder.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using ::testing::Contains;
using testing::expect_balance;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::kBroadcast;
using testing::TestSwitch;
using testing::WireFrame;

constexpr BridgeId kBetter{0x1000020000000001};

WireFrame wire(const Bpdu& bpdu) {
  const BpduFrame made(bpdu, kBetter.mac());
  WireFrame wire;
  wire.bytes.assign(made.bytes().begin(), made.bytes().end());
  return wire;
}

Bpdu proposal() {
  Bpdu bpdu;
  bpdu.proposal = true;
  bpdu.priority = {kBetter, 0, kBetter, 0x8001};
  return bpdu;
}

bool is_bpdu(const WireFrame& wire) {
  return EthernetView(wire.bytes).destination().number() == 0x0180c2000000;
}

class SpanningTreeTest : public ::testing::Test {
 protected:
  ~SpanningTreeTest() override { expect_balance(*bridge); }

  SpanningTree& tree() { return bridge->spanning_tree(); }
  void pass(int count) {
    for (; count > 0; --count) {
      tree().tick(now += seconds(1));
      bridge->flush().clear();
    }
  }
  // Edges have opened, and what was said meanwhile is not looked at.
  void settle() {
    pass(5);
    for (PortId id = 1; id <= 3; ++id) bridge.received(id);
  }

  TestSwitch bridge{3};
  Time now{0};
};

TEST_F(SpanningTreeTest, OffLetsBpdusPassLikeOtherFrames) {
  bridge.send(1, wire(proposal()));
  EXPECT_EQ(bridge.received(2).size(), 1U);
  EXPECT_EQ(bridge.received(3).size(), 1U);
}

TEST_F(SpanningTreeTest, RunningTakesThem) {
  ASSERT_TRUE(tree().start());
  settle();
  bridge.send(1, wire(proposal()));
  EXPECT_EQ(bridge.port(1).counters.drops.of(Drop::bpdu), 1U);
  EXPECT_EQ(tree().tree(0)->root(), kBetter);
  for (const WireFrame& got : bridge.received(2)) {
    EXPECT_NE(EthernetView(got.bytes).source(), kBetter.mac()) << "not passed on";
  }
}

TEST_F(SpanningTreeTest, PortsDiscardUntilTheyAreKnownToBeEdges) {
  ASSERT_TRUE(tree().start());
  bridge.send(1, frame().from(kAlice).to(kBroadcast));
  EXPECT_EQ(bridge.port(1).counters.drops.of(Drop::discarding), 1U);
  settle();
  bridge.send(1, frame().from(kAlice).to(kBroadcast));
  EXPECT_EQ(bridge.received(2).size(), 1U);
}

TEST_F(SpanningTreeTest, AnEdgeForwardsAtOnce) {
  tree().set_edge(0, 1, true);
  tree().set_edge(0, 2, true);
  ASSERT_TRUE(tree().start());
  bridge->flush().clear();
  bridge.received(2);
  bridge.send(1, frame().from(kAlice).to(kBroadcast));
  EXPECT_EQ(bridge.received(2).size(), 1U);
  EXPECT_TRUE(tree().is_edge(0, 2));
}

TEST_F(SpanningTreeTest, OffAgainEverythingForwards) {
  ASSERT_TRUE(tree().start());
  tree().stop();
  bridge->flush().clear();
  for (PortId id = 1; id <= 3; ++id) bridge.received(id);
  bridge.send(1, frame().from(kAlice).to(kBroadcast));
  EXPECT_EQ(bridge.received(2).size(), 1U);
  EXPECT_EQ(tree().tree(0), nullptr);
}

TEST_F(SpanningTreeTest, TwoCablesToOneNeighbourAreOneWay) {
  ASSERT_TRUE(tree().start());
  bridge.send(1, wire(proposal()));
  bridge.send(2, wire(proposal()));
  EXPECT_EQ(bridge->vlans().state(0, 1), PortState::forwarding);
  EXPECT_EQ(bridge->vlans().state(0, 2), PortState::discarding);
  bridge.unplug(1);
  EXPECT_EQ(bridge->vlans().state(0, 2), PortState::forwarding);
}

TEST_F(SpanningTreeTest, ALinkSetDownIsALinkDown) {
  ASSERT_TRUE(tree().start());
  bridge.send(1, wire(proposal()));
  bridge.send(2, wire(proposal()));
  ASSERT_TRUE(bridge->set_link(1, false));
  EXPECT_EQ(bridge->vlans().state(0, 2), PortState::forwarding);
}

TEST_F(SpanningTreeTest, ANewPortDiscardsFromItsFirstFrameOn) {
  ASSERT_TRUE(tree().start());
  settle();
  bridge.plug(4);
  bridge.send(1, frame().from(kAlice).to(kBroadcast));
  for (const WireFrame& got : bridge.received(4)) EXPECT_TRUE(is_bpdu(got));
}

TEST_F(SpanningTreeTest, EveryVlanHasItsTreeAndTaggedBpdus) {
  ASSERT_TRUE(tree().start());
  ASSERT_TRUE(bridge->vlans().create(10));
  ASSERT_TRUE(bridge->vlans().add_tagged(10, 1));
  ASSERT_TRUE(bridge->set_native_vlan(2, 10));
  pass(2);
  ASSERT_NE(tree().tree(10), nullptr);
  EXPECT_NE(tree().tree(10)->port(2), nullptr);
  EXPECT_EQ(tree().tree(0)->port(2), nullptr) << "it has left VLAN 0";
  bool tagged = false;
  for (const WireFrame& got : bridge.received(1)) {
    if (EthernetView(got.bytes).type() == kEtherTypeVlan) {
      tagged = true;
      EXPECT_EQ(EthernetView(got.bytes).tci(), 10);
    }
  }
  EXPECT_TRUE(tagged);
}

TEST_F(SpanningTreeTest, ATaggedBpduBelongsToItsVlan) {
  ASSERT_TRUE(bridge->vlans().create(10));
  ASSERT_TRUE(bridge->vlans().add_tagged(10, 1));
  ASSERT_TRUE(tree().start());
  WireFrame tagged = wire(proposal());
  const std::vector<std::uint8_t> tag{0x81, 0x00, 0x00, 0x0a};
  tagged.bytes.insert(tagged.bytes.begin() + kAddressesSize, tag.begin(), tag.end());
  bridge.send(1, tagged);
  EXPECT_EQ(tree().tree(10)->root(), kBetter);
  EXPECT_TRUE(tree().tree(0)->is_root());
}

TEST_F(SpanningTreeTest, AVlanThatEndsTakesItsTreeAlong) {
  ASSERT_TRUE(tree().start());
  ASSERT_TRUE(bridge->vlans().create(10));
  tree().set_edge(10, 1, true);
  ASSERT_TRUE(bridge->vlans().remove(10));
  EXPECT_EQ(tree().tree(10), nullptr);
  EXPECT_FALSE(tree().is_edge(10, 1));
}

TEST_F(SpanningTreeTest, AHubHasNone) {
  ASSERT_TRUE(tree().start());
  bridge->set_hub(true);
  EXPECT_FALSE(tree().running());
  EXPECT_FALSE(tree().start());
  bridge->set_hub(false);
  EXPECT_FALSE(tree().running()) << "as VDE: it stays off";
}

TEST_F(SpanningTreeTest, AChangeForgetsAddressesOfItsVlanOnly) {
  ASSERT_TRUE(bridge->vlans().create(10));
  ASSERT_TRUE(bridge->vlans().add_tagged(10, 3));
  ASSERT_TRUE(tree().start());
  settle();
  bridge.send(3, frame().from(kAlice).to(kBroadcast));
  bridge.send(3, frame().from(kBob).to(kBroadcast).tag(10));
  ASSERT_EQ(bridge->macs().find(kAlice, 0), 3);
  ASSERT_EQ(bridge->macs().find(kBob, 10), 3);
  bridge->flush_macs_of(3, VlanId{0});
  EXPECT_EQ(bridge->macs().find(kAlice, 0), kPortNone);
  EXPECT_EQ(bridge->macs().find(kBob, 10), 3);
}

TEST_F(SpanningTreeTest, ABonusMakesTheOtherCableTheWay) {
  ASSERT_TRUE(tree().start());
  tree().set_bonus(0, 2, 1000);
  bridge.send(1, wire(proposal()));
  bridge.send(2, wire(proposal()));
  EXPECT_EQ(tree().tree(0)->root_port_id(), 2);
  EXPECT_EQ(tree().tree(0)->root_cost(), 19999000U);
  tree().set_bonus(0, 1, 2000);
  EXPECT_EQ(tree().tree(0)->root_port_id(), 1) << "there is one bonus, and it has moved";
}

TEST_F(SpanningTreeTest, SaysWhatHappens) {
  ASSERT_TRUE(tree().start());
  bridge.events().take();
  bridge.send(1, wire(proposal()));
  const std::vector<std::string> said = bridge.events().take();
  EXPECT_THAT(said, Contains("port 1 tree 0 heard"));
  EXPECT_THAT(said, Contains("port 1 tree 0 " + kBetter.text()));
  EXPECT_THAT(said, Contains("port 1 tree 0 learning+forwarding"));
}

TEST_F(SpanningTreeTest, IsPartOfTheStateOfTheSwitch) {
  tree().set_priority(0x2000);
  tree().set_edge(0, 2, true);
  tree().set_bonus(0, 3, 77);
  tree().set_bpdu_guard(2, true);
  tree().set_root_guard(1, true);
  ASSERT_TRUE(tree().start());
  const SwitchState state = bridge->state();
  TestSwitch successor;
  ASSERT_TRUE(successor->restore(state));
  EXPECT_EQ(successor->state(), state);
  EXPECT_TRUE(successor->spanning_tree().running());
  EXPECT_EQ(successor->spanning_tree().tree(0)->bridge_id().priority(), 0x2000);
}

}  // namespace
}  // namespace lanyard
