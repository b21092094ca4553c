// SPDX-License-Identifier: MIT
//
// One bridge, and what it does when it hears something: the sentences of IEEE 802.1D-2004 that a
// network of many would not show one by one. Networks are in tests/sim.
#include "switch/bridge/rstp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr BridgeId kSelf{0x8000020000000005};
constexpr BridgeId kBetter{0x1000020000000001};
constexpr BridgeId kWorse{0xf000020000000009};

class RstpTest : public ::testing::Test, public RstpActions {
 protected:
  explicit RstpTest(PortId ports = 3) : bridge(settings(), *this) {
    for (PortId id = 1; id <= ports; ++id) {
      bridge.add_port(id);
      bridge.set_link(id, true);
    }
    sent.clear();
  }

  static RstpSettings settings() {
    RstpSettings settings;
    settings.mac = kSelf.mac();
    settings.priority = kSelf.priority();
    return settings;
  }

  void send_bpdu(PortId port, const Bpdu& bpdu) override { sent[port].push_back(bpdu); }
  void set_state(PortId port, PortState state) override { states[port] = state; }
  void flush(PortId port) override { ++flushes[port]; }
  void heard(PortId port, bool heard) override { heard_at[port] = heard; }
  void guarded(PortId port, std::string_view) override { guards.push_back(port); }

  void pass(int count) {
    for (; count > 0; --count) bridge.tick(now += seconds(1));
  }
  static Bpdu from(BridgeId root, std::uint32_t cost = 0) {
    Bpdu bpdu;
    bpdu.priority = {root, cost, root, 0x8001};
    return bpdu;
  }
  static Bpdu proposal(BridgeId root) {
    Bpdu bpdu = from(root);
    bpdu.proposal = true;
    return bpdu;
  }
  Bpdu agreement_of(BridgeId neighbour, PortId port) {
    Bpdu bpdu = sent[port].back();
    bpdu.numbers->heard = bpdu.numbers->said;
    bpdu.role = PortRole::root;
    bpdu.agreement = bpdu.learning = bpdu.forwarding = true;
    bpdu.proposal = false;
    bpdu.priority.cost += 20000000;
    bpdu.priority.bridge = neighbour;
    return bpdu;
  }
  PortRole role(PortId port) const { return bridge.port(port)->role; }

  std::map<PortId, std::vector<Bpdu>> sent;
  std::map<PortId, PortState> states;
  std::map<PortId, int> flushes;
  std::map<PortId, bool> heard_at;
  std::vector<PortId> guards;
  Time now{0};
  Rstp bridge;
};

TEST_F(RstpTest, AloneIsRootAndItsPortsBecomeEdges) {
  EXPECT_TRUE(bridge.is_root());
  EXPECT_EQ(role(1), PortRole::designated);
  EXPECT_EQ(states[1], PortState::discarding);
  pass(3);
  EXPECT_EQ(states[1], PortState::forwarding) << "nobody was heard for MigrateTime";
  EXPECT_TRUE(bridge.port(1)->oper_edge);
}

TEST_F(RstpTest, AnAdminEdgeForwardsAtOnce) {
  bridge.set_link(2, false);
  bridge.set_admin_edge(2, true);
  bridge.set_link(2, true);
  EXPECT_EQ(states[2], PortState::forwarding);
}

TEST_F(RstpTest, ABridgeAtAnEdgeEndsIt) {
  bridge.set_admin_edge(2, true);
  EXPECT_EQ(states[2], PortState::forwarding);
  bridge.receive(2, proposal(kBetter));
  EXPECT_FALSE(bridge.port(2)->oper_edge);
}

TEST_F(RstpTest, ProposesAndForwardsWhenTheNeighbourAgrees) {
  pass(1);
  bridge.receive(1, from(kWorse));
  pass(2);
  ASSERT_FALSE(sent[1].empty());
  EXPECT_TRUE(sent[1].back().proposal);
  EXPECT_EQ(states[1], PortState::discarding);
  bridge.receive(1, agreement_of(kWorse, 1));
  EXPECT_EQ(states[1], PortState::forwarding);
}

TEST_F(RstpTest, AnAgreementToAnotherRootIsNone) {
  bridge.receive(1, from(kWorse));
  Bpdu agreement = agreement_of(kWorse, 1);
  agreement.priority.root = kWorse;
  bridge.receive(1, agreement);
  EXPECT_EQ(states[1], PortState::discarding);
}

TEST_F(RstpTest, AnAgreementToWhatWasSaidBeforeIsNone) {
  bridge.receive(1, from(kWorse));
  Bpdu agreement = agreement_of(kWorse, 1);
  --agreement.numbers->heard;
  bridge.receive(1, agreement);
  EXPECT_EQ(states[1], PortState::discarding);
  ++agreement.numbers->heard;
  bridge.receive(1, agreement);
  EXPECT_EQ(states[1], PortState::forwarding);
}

TEST_F(RstpTest, AForeignAgreementOfAnUnlikelyCostIsAskedForAgain) {
  bridge.receive(1, from(kWorse));
  Bpdu agreement = agreement_of(kWorse, 1);
  agreement.numbers.reset();
  agreement.priority.cost += 1000;
  sent.clear();
  bridge.receive(1, agreement);
  EXPECT_EQ(states[1], PortState::discarding);
  EXPECT_EQ(sent[1].size(), 1U);
  bridge.receive(1, agreement);
  EXPECT_EQ(states[1], PortState::forwarding);
}

TEST_F(RstpTest, AgreesToAProposalAfterItsOtherPortsAreInStep) {
  pass(4);
  bridge.set_point_to_point(2, true);
  bridge.receive(2, from(kWorse));
  bridge.receive(2, agreement_of(kWorse, 2));
  ASSERT_EQ(states[2], PortState::forwarding);
  sent.clear();
  bridge.receive(1, proposal(kBetter));
  EXPECT_EQ(role(1), PortRole::root);
  EXPECT_EQ(states[1], PortState::forwarding);
  EXPECT_EQ(states[2], PortState::discarding) << "it has not agreed to the new root";
  EXPECT_EQ(states[3], PortState::forwarding) << "an edge";
  ASSERT_FALSE(sent[1].empty());
  EXPECT_TRUE(sent[1].back().agreement);
  EXPECT_EQ(sent[1].back().role, PortRole::root);
  EXPECT_TRUE(sent[2].back().proposal);
}

TEST_F(RstpTest, TheSecondWayIsBlockedAndTakesOver) {
  bridge.receive(1, proposal(kBetter));
  bridge.receive(2, proposal(kBetter));
  EXPECT_EQ(role(1), PortRole::root);
  EXPECT_EQ(role(2), PortRole::alternate);
  EXPECT_EQ(states[2], PortState::discarding);
  bridge.set_link(1, false);
  EXPECT_EQ(role(2), PortRole::root);
  EXPECT_EQ(states[2], PortState::forwarding) << "in the same moment";
}

TEST_F(RstpTest, AnotherPortOfItsOwnIsBackup) {
  pass(2);
  bridge.receive(2, sent[1].back());
  EXPECT_EQ(role(2), PortRole::backup);
  EXPECT_EQ(states[2], PortState::discarding);
}

TEST_F(RstpTest, ItsOwnMessageAtTheSamePortIsNothing) {
  pass(2);
  bridge.receive(1, sent[1].back());
  EXPECT_EQ(role(1), PortRole::designated);
  EXPECT_FALSE(heard_at[1]);
}

TEST_F(RstpTest, InformationIsForgottenAfterThreeHellos) {
  bridge.receive(1, proposal(kBetter));
  pass(5);
  EXPECT_EQ(role(1), PortRole::root);
  pass(1);
  EXPECT_TRUE(bridge.is_root());
  EXPECT_FALSE(heard_at[1]);
}

// The cable of two bridges that have just lost their root: what each has said is on its way while
// it comes to believe the other.
TEST_F(RstpTest, ANeighbourThatIsNoLongerDesignatedIsNotBelieved) {
  for (const PortRole role_of_neighbour : {PortRole::root, PortRole::alternate, PortRole::backup}) {
    bridge.receive(1, proposal(kBetter));
    ASSERT_EQ(role(1), PortRole::root);
    Bpdu retired = from(kBetter, 20000000);
    retired.role = role_of_neighbour;
    retired.agreement = true;
    sent.clear();
    bridge.receive(1, retired);
    EXPECT_TRUE(bridge.is_root());
    EXPECT_EQ(role(1), PortRole::designated);
    EXPECT_EQ(states[1], PortState::discarding) << "what it agreed to was said before";
    ASSERT_FALSE(sent[1].empty());
    EXPECT_EQ(sent[1].back().priority.root, kSelf);
    EXPECT_TRUE(sent[1].back().proposal);
    pass(2);
  }
}

TEST_F(RstpTest, AnotherBridgeOfASharedMediumTakesNothingBack) {
  bridge.set_point_to_point(1, false);
  bridge.receive(1, proposal(kBetter));
  Bpdu other = from(kBetter, 20000000);
  other.priority.bridge = kWorse;
  other.role = PortRole::alternate;
  bridge.receive(1, other);
  EXPECT_EQ(role(1), PortRole::root);
  other.priority.bridge = kBetter;
  other.priority.port = 0x8002;
  bridge.receive(1, other);
  EXPECT_EQ(role(1), PortRole::root) << "another port of the same bridge";
}

TEST_F(RstpTest, InformationThatIsTooOldIsNotUsed) {
  Bpdu old = from(kBetter);
  old.times.message_age = old.times.max_age;
  bridge.receive(1, old);
  EXPECT_TRUE(bridge.is_root());
}

TEST_F(RstpTest, AnOldBridgeIsAnsweredInItsLanguage) {
  pass(4);  // MigrateTime is over
  Bpdu configuration = from(kWorse);
  configuration.kind = Bpdu::Kind::configuration;
  bridge.receive(1, configuration);
  pass(3);
  EXPECT_EQ(sent[1].back().kind, Bpdu::Kind::configuration);
  bridge.check_migration(1);
  pass(2);
  EXPECT_EQ(sent[1].back().kind, Bpdu::Kind::rapid);
}

TEST_F(RstpTest, AnOldRootIsToldOfChangesWithNotifications) {
  pass(4);
  Bpdu configuration = from(kBetter);
  configuration.kind = Bpdu::Kind::configuration;
  bridge.receive(1, configuration);
  bridge.receive(2, from(kWorse));
  bridge.receive(2, agreement_of(kWorse, 2));
  pass(1);
  bridge.receive(1, configuration);
  pass(2);
  EXPECT_EQ(sent[1].back().kind, Bpdu::Kind::topology_change_notification);
  configuration.acknowledgment = true;
  bridge.receive(1, configuration);
  sent.clear();
  pass(3);
  EXPECT_TRUE(sent[1].empty()) << "acknowledged";
}

TEST_F(RstpTest, AnOldNeighbourMakesAPortWaitForTwoDelays) {
  pass(4);
  Bpdu configuration = from(kWorse);
  configuration.kind = Bpdu::Kind::configuration;
  bridge.set_link(1, false);
  bridge.set_link(1, true);
  bridge.receive(1, configuration);
  int waited = 0;
  for (; states[1] != PortState::forwarding && waited < 60; ++waited) {
    bridge.receive(1, configuration);
    pass(1);
  }
  EXPECT_GE(waited, 30);
  EXPECT_LE(waited, 36) << "maximum age and one delay";
}

TEST_F(RstpTest, FlushesAreBoundedHoweverManyChangesAreAnnounced) {
  bridge.receive(1, proposal(kBetter));
  bridge.receive(2, proposal(kBetter));
  flushes.clear();
  Bpdu change = from(kBetter);
  change.topology_change = true;
  for (int i = 0; i < 1000; ++i) bridge.receive(1, change);
  EXPECT_LE(flushes[3], 5);
  flushes.clear();
  pass(10);
  EXPECT_LE(flushes[3], 10);
  EXPECT_EQ(flushes[1], 0) << "never where the change was announced";
}

TEST_F(RstpTest, SendsNoMoreThanTheTransmitHoldCount) {
  sent.clear();
  for (int i = 0; i < 100; ++i) bridge.receive(1, from(kWorse));
  EXPECT_LE(sent[1].size(), 10U);
}

TEST_F(RstpTest, TheBpduGuardClosesAPortUntilItsLinkGoesDown) {
  bridge.set_bpdu_guard(2, true);
  pass(4);
  bridge.receive(2, from(kWorse));
  EXPECT_EQ(states[2], PortState::discarding);
  EXPECT_THAT(guards, ::testing::ElementsAre(2));
  pass(60);
  EXPECT_EQ(states[2], PortState::discarding);
  bridge.set_link(2, false);
  bridge.set_link(2, true);
  pass(4);
  EXPECT_EQ(states[2], PortState::forwarding);
}

TEST_F(RstpTest, TheRootGuardBlocksABetterRoot) {
  bridge.set_root_guard(2, true);
  bridge.receive(2, proposal(kBetter));
  EXPECT_TRUE(bridge.is_root());
  EXPECT_EQ(role(2), PortRole::alternate);
  EXPECT_EQ(states[2], PortState::discarding);
  EXPECT_THAT(guards, ::testing::ElementsAre(2)) << "said once";
  bridge.receive(2, proposal(kBetter));
  EXPECT_EQ(guards.size(), 1U);
  pass(40);
  EXPECT_EQ(role(2), PortRole::designated) << "it has gone";
}

TEST_F(RstpTest, AnFstpNeighbourIsAnsweredInItsDialectInEveryRole) {
  Bpdu fstp = from(kBetter);
  fstp.fstp = true;
  fstp.times = {0, 40 * 256, 4 * 256, 21 * 256};
  bridge.receive(1, fstp);
  bridge.receive(2, fstp);
  ASSERT_EQ(role(2), PortRole::alternate);
  sent.clear();
  pass(3);
  ASSERT_FALSE(sent[2].empty()) << "silence would mean a cut cable";
  EXPECT_TRUE(sent[2].back().fstp);
  EXPECT_TRUE(sent[1].back().fstp);
  ASSERT_FALSE(sent[3].empty());
  EXPECT_FALSE(sent[3].back().fstp) << "others hear the standard";
}

TEST_F(RstpTest, AStoppedProcessAgesByOneSecond) {
  pass(1);
  bridge.receive(1, proposal(kBetter));
  bridge.tick(now += seconds(1000));
  EXPECT_EQ(role(1), PortRole::root) << "what the neighbours sent meanwhile still waits";
}

TEST_F(RstpTest, TicksMayComeALittleEarlyOrOften) {
  pass(1);
  for (int i = 0; i < 40; ++i) bridge.tick(now += std::chrono::milliseconds(50));
  bridge.receive(1, proposal(kBetter));
  for (int i = 0; i < 5; ++i) bridge.tick(now += std::chrono::milliseconds(997));
  EXPECT_EQ(role(1), PortRole::root);
  bridge.tick(now += std::chrono::milliseconds(997));
  EXPECT_TRUE(bridge.is_root());
}

}  // namespace
}  // namespace lanyard
