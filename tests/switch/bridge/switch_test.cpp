// SPDX-License-Identifier: MIT
//
// The control side of the switch: which port a client gets, what becomes of ports and VLANs, and
// what a successor inherits.
#include "switch/bridge/switch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <ostream>

#include "tests/support/test_switch.h"

namespace lanyard {

inline void PrintTo(const PortConfiguration& port, std::ostream* out) {
  *out << "port " << port.id << " native " << port.native_vlan << " tagged "
       << port.tagged_vlans.size() << " allocatable " << port.allocatable << " pass "
       << port.pass_tags << " user " << port.user_allowed << " group " << port.group_allowed
       << " queue " << port.queue_bytes_max;
}

namespace {

using std::chrono::seconds;
using testing::Cable;
using ::testing::ElementsAre;
using testing::expect_balance;
using testing::frame;
using ::testing::IsEmpty;
using testing::kAlice;
using testing::kBob;
using testing::kCarol;
using testing::TestSwitch;

constexpr uid_t kRoot = 0;
constexpr uid_t kJoe = 1001;
constexpr uid_t kEve = 1002;
constexpr gid_t kStaff = 50;

template <typename T>
int code_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

PlugRequest any_port(Identity who = {kJoe, kJoe, 1, {}}) {
  PlugRequest request;
  request.traits.identity = std::move(who);
  return request;
}
PlugRequest port_number(PortId id, Identity who = {kJoe, kJoe, 1, {}}) {
  PlugRequest request = any_port(std::move(who));
  request.port = id;
  return request;
}

class SwitchTest : public ::testing::Test {
 protected:
  // Plugs somebody in as a backend does; the errno when refused, and -port when granted.
  int join(const PlugRequest& request) {
    const Result<Port*> port = sw_->port_for(request);
    if (!port) return port.error().code;
    Plug::Traits traits = request.traits;
    traits.id = next_id_++;
    sw_->plug(*port.value(),
              std::make_unique<testing::MemoryEndpoint>(std::make_shared<Cable>(), sw_.pool()),
              std::move(traits));
    return -port.value()->id();
  }
  void leave(PortId id) {
    while (sw_->port(id)->active()) sw_->unplug(*sw_->port(id)->plugs().front());
  }

  TestSwitch sw_{0, [] {
                   Switch::Settings settings = TestSwitch::small();
                   settings.ports_max = 5;
                   settings.mac = kCarol;
                   return settings;
                 }()};
  int next_id_ = 10;
};

// ---- which port ----

TEST_F(SwitchTest, GivesTheLowestFreePortAndNeverPortZero) {
  for (int expected = 1; expected <= 5; ++expected) EXPECT_EQ(join(any_port()), -expected);
  EXPECT_EQ(join(any_port()), ENOSPC);
  leave(3);
  EXPECT_EQ(join(any_port()), -3) << "a port that was left is free again";
}

TEST_F(SwitchTest, GivesThePortThatIsAskedFor) {
  EXPECT_EQ(join(port_number(4)), -4);
  EXPECT_EQ(join(port_number(0)), 0) << "port 0 by request only";
  EXPECT_TRUE(sw_->port(0)->active());
  EXPECT_EQ(join(port_number(5)), -5) << "the last number is usable";
  EXPECT_EQ(join(port_number(6)), EINVAL);
  EXPECT_EQ(join(port_number(65535)), EINVAL);
  EXPECT_EQ(join(any_port()), -1);
}

TEST_F(SwitchTest, SkipsPortsThatAreNotAllocatableUnlessTheyAreNamed) {
  ASSERT_TRUE(sw_->create_port(PortId{1}).ok());
  EXPECT_FALSE(sw_->port(1)->allocatable) << "made by hand";
  EXPECT_EQ(join(any_port()), -2);
  EXPECT_TRUE(sw_->port(2)->allocatable) << "made by a connection";
  EXPECT_EQ(join(port_number(1)), -1);
  leave(1);
  sw_->port(1)->allocatable = true;
  EXPECT_EQ(join(any_port()), -1);
}

TEST_F(SwitchTest, GivesPortsOfAGroupFromItsRange) {
  PlugRequest lab = any_port();
  lab.range_first = 3;
  lab.range_last = 4;
  EXPECT_EQ(join(lab), -3);
  EXPECT_EQ(join(lab), -4);
  EXPECT_EQ(join(lab), ENOSPC);
  EXPECT_EQ(join(any_port()), -1) << "others still have theirs";
  lab.range_last = kPortMax;
  EXPECT_EQ(join(lab), -5);
  lab.range_first = 77;
  EXPECT_EQ(join(lab), ENOSPC);
}

TEST_F(SwitchTest, LetsOneUserShareAPortAndNoOther) {
  EXPECT_EQ(join(port_number(2, {kJoe, kJoe, 1, {}})), -2);
  EXPECT_EQ(join(port_number(2, {kJoe, kJoe, 2, {}})), -2);
  EXPECT_EQ(sw_->port(2)->plugs().size(), 2U);
  EXPECT_EQ(sw_->port(2)->current_user, kJoe);
  EXPECT_EQ(join(port_number(2, {kEve, kEve, 3, {}})), EADDRINUSE);
  EXPECT_EQ(join(port_number(2, {kRoot, 0, 4, {}})), EADDRINUSE) << "not even root";
  EXPECT_EQ(join(port_number(2, {})), EADDRINUSE) << "nor nobody";
  leave(2);
  EXPECT_EQ(sw_->port(2)->current_user, kNoUser);
  EXPECT_EQ(join(port_number(2, {kEve, kEve, 3, {}})), -2);
}

TEST_F(SwitchTest, DoesNotTakeTwoNobodiesForOneUser) {
  EXPECT_EQ(join(port_number(2, {})), -2);
  EXPECT_EQ(join(port_number(2, {})), EADDRINUSE);
}

TEST_F(SwitchTest, KeepsPortsForTheirUsersAndGroups) {
  const struct {
    const char* who;
    Identity identity;
    uid_t user_allowed;
    gid_t group_allowed;
    bool may;
  } rows[] = {
      {"anybody where nothing is said", {kEve, kEve, 1, {}}, kNoUser, kNoGroup, true},
      {"nobody where nothing is said", {}, kNoUser, kNoGroup, true},
      {"the user", {kJoe, kJoe, 1, {}}, kJoe, kNoGroup, true},
      {"another user", {kEve, kEve, 1, {}}, kJoe, kNoGroup, false},
      {"root", {kRoot, 0, 1, {}}, kJoe, kStaff, true},
      {"nobody", {}, kJoe, kNoGroup, false},
      {"nobody, of a group's port", {}, kNoUser, kStaff, false},
      {"a member by primary group", {kEve, kStaff, 1, {}}, kNoUser, kStaff, true},
      {"a member by supplementary group", {kEve, kEve, 1, {7, kStaff}}, kNoUser, kStaff, true},
      {"a stranger to the group", {kEve, kEve, 1, {7}}, kNoUser, kStaff, false},
      {"the user, without the group", {kJoe, kJoe, 1, {}}, kJoe, kStaff, true},
      {"a member, not the user", {kEve, kEve, 1, {kStaff}}, kJoe, kStaff, true},
      {"neither", {kEve, kEve, 1, {}}, kJoe, kStaff, false},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.who);
    TestSwitch sw;
    Port& port = *sw->create_port(PortId{2}).value();
    port.user_allowed = row.user_allowed;
    port.group_allowed = row.group_allowed;
    EXPECT_EQ(code_of(sw->port_for(port_number(2, row.identity))), row.may ? 0 : EACCES);
  }
}

TEST_F(SwitchTest, DoesNotGiveAReservedPortToAnybodyWhoNamesNone) {
  ASSERT_EQ(join(port_number(1)), -1);
  leave(1);
  sw_->port(1)->user_allowed = kJoe;
  EXPECT_EQ(join(any_port({kEve, kEve, 1, {}})), -2);
  EXPECT_EQ(join(any_port({kJoe, kJoe, 1, {}})), -1) << "but to its user";
}

TEST_F(SwitchTest, AsksForPermissionOnlyAtAnEmptyPort) {
  ASSERT_EQ(join(port_number(1, {kJoe, kJoe, 1, {}})), -1);
  sw_->port(1)->user_allowed = kEve;
  EXPECT_EQ(join(port_number(1, {kJoe, kJoe, 1, {}})), -1) << "the same user may join";
  EXPECT_EQ(join(port_number(1, {kEve, kEve, 1, {}})), EADDRINUSE);
}

TEST_F(SwitchTest, SaysWhyAPortIsRefused) {
  ASSERT_EQ(join(port_number(1, {kJoe, kJoe, 1, {}})), -1);
  const Result<Port*> taken = sw_->port_for(port_number(1, {kEve, kEve, 1, {}}));
  EXPECT_NE(taken.error().text.find("1001"), std::string::npos) << taken.error().text;
  const Result<Port*> beyond = sw_->port_for(port_number(9));
  EXPECT_NE(beyond.error().text.find("-n"), std::string::npos) << beyond.error().text;
}

// ---- making and removing ports ----

TEST_F(SwitchTest, CreatesPorts) {
  EXPECT_EQ(code_of(sw_->create_port(PortId{3})), 0);
  EXPECT_EQ(code_of(sw_->create_port(PortId{3})), EEXIST);
  EXPECT_EQ(code_of(sw_->create_port(PortId{6})), EINVAL);
  EXPECT_EQ(code_of(sw_->create_port(PortId{0})), 0);
  for (const PortId expected : {PortId{1}, PortId{2}, PortId{4}, PortId{5}}) {
    const Result<Port*> port = sw_->create_port(std::nullopt);
    ASSERT_TRUE(port.ok());
    EXPECT_EQ(port.value()->id(), expected);
  }
  EXPECT_EQ(code_of(sw_->create_port(std::nullopt)), ENOSPC);
}

TEST_F(SwitchTest, RemovesPortsThatNobodyUses) {
  ASSERT_EQ(join(port_number(3)), -3);
  EXPECT_EQ(code_of(sw_->remove_port(3)), EADDRINUSE);
  leave(3);
  EXPECT_EQ(code_of(sw_->remove_port(3)), 0);
  EXPECT_EQ(code_of(sw_->remove_port(3)), ENXIO);
  EXPECT_EQ(code_of(sw_->remove_port(6)), EINVAL);
  EXPECT_EQ(sw_->port(3), nullptr);
}

TEST_F(SwitchTest, ForgetsWhatWasSaidOfARemovedPort) {
  ASSERT_TRUE(sw_->vlans().create(10).ok());
  Port& port = *sw_->create_port(PortId{3}).value();
  port.user_allowed = kJoe;
  ASSERT_TRUE(sw_->set_native_vlan(3, 10).ok());
  ASSERT_TRUE(sw_->remove_port(3).ok());
  EXPECT_THAT(sw_->vlans().members(10), IsEmpty());
  ASSERT_TRUE(sw_->create_port(PortId{3}).ok());
  EXPECT_EQ(sw_->port(3)->user_allowed, kNoUser);
  EXPECT_EQ(sw_->vlans().native(3), 0);
}

TEST_F(SwitchTest, SurvivesTheRemovalOfAPortThatWasJustSentTo) {
  TestSwitch sw(2);
  sw.send(1, frame());
  sw.unplug(2);
  ASSERT_TRUE(sw->remove_port(2).ok());
  sw.send(1, frame());
  EXPECT_EQ(sw.port(1).counters.drops.of(Drop::no_receiver), 1U);
}

TEST_F(SwitchTest, ChangesItsNumberOfPorts) {
  const struct {
    std::int64_t count;
    int code;
  } rows[] = {{0, EINVAL}, {-1, EINVAL}, {65535, EINVAL}, {2147483647, EINVAL}, {65534, 0}, {5, 0}};
  for (const auto& row : rows) EXPECT_EQ(code_of(sw_->set_ports_max(row.count)), row.code);
  ASSERT_TRUE(sw_->create_port(PortId{4}).ok());
  EXPECT_EQ(code_of(sw_->set_ports_max(3)), EADDRINUSE) << "port 4 exists, though inactive";
  EXPECT_EQ(sw_->ports_max(), 5);
  EXPECT_EQ(code_of(sw_->set_ports_max(4)), 0);
  EXPECT_EQ(join(port_number(5)), EINVAL);
  EXPECT_EQ(code_of(sw_->set_ports_max(6)), 0);
  EXPECT_EQ(join(port_number(6)), -6);
}

TEST_F(SwitchTest, VisitsItsPortsInOrder) {
  for (const PortId id : {PortId{4}, PortId{0}, PortId{2}}) ASSERT_TRUE(sw_->create_port(id).ok());
  std::vector<PortId> ids;
  sw_->for_each_port([&](const Port& port) { ids.push_back(port.id()); });
  EXPECT_THAT(ids, ElementsAre(0, 2, 4));
}

TEST_F(SwitchTest, RefusesVlansOfPortsThatDoNotExist) {
  ASSERT_TRUE(sw_->vlans().create(10).ok());
  EXPECT_EQ(code_of(sw_->set_native_vlan(1, 10)), ENXIO);
  EXPECT_EQ(code_of(sw_->set_native_vlan(99, 10)), EINVAL);
  EXPECT_EQ(code_of(sw_->set_native_vlan(1, 4096)), EINVAL);
  EXPECT_EQ(code_of(sw_->remove_from_vlan(10, 1)), ENXIO);
  EXPECT_EQ(code_of(sw_->remove_from_vlan(10, 99)), EINVAL);
}

// ---- what is told ----

TEST_F(SwitchTest, TellsWhatHappensToPortsInVdesOrder) {
  TestSwitch sw;
  Plug& plug = sw.plug(4, std::make_shared<Cable>(), "eee user=root");
  EXPECT_THAT(sw.events().take(), ElementsAre("port 4 added", "port 4 endpoint 100 added",
                                              "port 4 endpoint 100 is 'eee user=root'"));
  sw.send(4, frame().from(kAlice));
  EXPECT_THAT(sw.events().take(), ElementsAre("learned 02:00:00:00:00:a1 vlan 0 on 4"));
  sw.unplug(plug);
  EXPECT_THAT(sw.events().take(), ElementsAre("port 4 endpoint 100 removed", "port 4 emptied",
                                              "forgotten 02:00:00:00:00:a1 vlan 0 on 4"));
  sw.plug(4);
  EXPECT_THAT(sw.events().take(), ElementsAre("port 4 endpoint 101 added"))
      << "the port was there, and there is no description";
}

TEST_F(SwitchTest, TellsOfAPortThatEmptiedOnlyAtItsLastPlug) {
  TestSwitch sw;
  Plug& first = sw.plug(4);
  sw.plug(4);
  sw.events().take();
  sw.unplug(first);
  EXPECT_THAT(sw.events().take(), ElementsAre("port 4 endpoint 100 removed"));
  sw.unplug(4);
  EXPECT_THAT(sw.events().take(), ElementsAre("port 4 endpoint 101 removed", "port 4 emptied"));
}

TEST_F(SwitchTest, TellsWhoIsForgottenByAge) {
  TestSwitch sw(1);
  sw.send(1, frame().from(kAlice));
  sw.events().take();
  sw.advance(seconds(100));
  sw.sweep();
  EXPECT_THAT(sw.events().take(), IsEmpty());
  sw.advance(seconds(1));
  sw.sweep(1);
  EXPECT_THAT(sw.events().take(), ElementsAre("forgotten 02:00:00:00:00:a1 vlan 0 on 1"));
}

TEST_F(SwitchTest, TellsAMove) {
  TestSwitch sw(2);
  sw.send(1, frame().from(kAlice));
  sw.events().take();
  sw.send(2, frame().from(kAlice));
  EXPECT_THAT(sw.events().take(), ElementsAre("moved 02:00:00:00:00:a1 vlan 0 from 1 to 2"));
}

TEST_F(SwitchTest, TellsWhoseRoomANewStationTook) {
  Switch::Settings settings;
  settings.mac_entries_max = 1;
  TestSwitch sw(2, settings);
  sw.send(1, frame().from(kAlice));
  sw.send(2, frame().from(kBob));
  EXPECT_THAT(sw.events().take(), ElementsAre("learned 02:00:00:00:00:a1 vlan 0 on 1",
                                              "forgotten 02:00:00:00:00:a1 vlan 0 on 1",
                                              "learned 02:00:00:00:00:b2 vlan 0 on 2"));
}

// ---- what forgets addresses ----

class SwitchForgetsTest : public ::testing::Test {
 protected:
  SwitchForgetsTest() {
    EXPECT_TRUE(sw_->vlans().create(10).ok());
    EXPECT_TRUE(sw_->vlans().add_tagged(10, 1).ok());
    sw_.send(1, {frame().from(kAlice), frame().from(kAlice).tag(10)});
    sw_.send(2, frame().from(kBob));
    EXPECT_EQ(known(), 3);
  }
  // How many of Alice in two VLANs and Bob are known.
  int known() {
    const MacTable& macs = sw_->macs();
    return (macs.find(kAlice, 0) == 1) + (macs.find(kAlice, 10) == 1) + (macs.find(kBob, 0) == 2);
  }

  TestSwitch sw_{2};
};

TEST_F(SwitchForgetsTest, AllVlansOfAPortWhoseLastPlugLeaves) {
  Plug& second = sw_.plug(1);
  sw_.unplug(second);
  EXPECT_EQ(known(), 3) << "not while one is left";
  sw_.unplug(1);
  EXPECT_EQ(known(), 1);
  EXPECT_EQ(sw_->vlans().is_tagged(10, 1), true) << "its VLANs are kept";
}

TEST_F(SwitchForgetsTest, APortWhoseNativeVlanIsSet) {
  ASSERT_TRUE(sw_->set_native_vlan(1, 10).ok());
  EXPECT_EQ(known(), 1);
}

TEST_F(SwitchForgetsTest, NothingWhenANativeVlanIsRefused) {
  EXPECT_FALSE(sw_->set_native_vlan(1, 77).ok());
  EXPECT_EQ(known(), 3);
}

TEST_F(SwitchForgetsTest, APortThatLeavesAVlan) {
  ASSERT_TRUE(sw_->remove_from_vlan(10, 1).ok());
  EXPECT_EQ(known(), 1) << "in all VLANs, as vde_switch does";
}

TEST_F(SwitchForgetsTest, EverythingWhenItBecomesAHub) {
  sw_->set_hub(true);
  sw_->set_hub(false);
  EXPECT_EQ(known(), 0);
}

TEST_F(SwitchForgetsTest, APortThatIsRemoved) {
  sw_.unplug(1);
  ASSERT_TRUE(sw_->remove_port(1).ok());
  EXPECT_EQ(known(), 1);
}

// ---- unplugging with frames on the way ----

TEST_F(SwitchTest, AccountsForFramesThatWereOnTheirWayToAPortThatIsUnplugged) {
  TestSwitch sw(2);
  FrameBatch batch;
  batch.push(testing::frame_of(sw.pool(), frame()));
  sw->forward(sw.port(1), batch);
  EXPECT_TRUE(sw->has_pending());
  EXPECT_EQ(sw->pending_frames(), 1U);
  sw.unplug(2);
  EXPECT_FALSE(sw->has_pending());
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::unplugged), 1U);
  expect_balance(*sw);
  sw->flush().clear();
  expect_balance(*sw);
}

TEST_F(SwitchTest, SendsNothingToAPlugThatIsClosing) {
  TestSwitch sw(3);
  sw.port(2).plugs()[0]->closing = true;
  sw.send(1, frame());
  EXPECT_THAT(sw.received(2), IsEmpty());
  EXPECT_EQ(sw.received(3).size(), 1U);
  expect_balance(*sw);
}

TEST_F(SwitchTest, NamesEveryPlugWithABacklogOnce) {
  TestSwitch sw(3);
  for (const PortId id : {PortId{2}, PortId{3}}) sw.cable(id).room = 0;
  const auto forward = [&] {
    FrameBatch batch;
    batch.push(testing::frame_of(sw.pool(), frame()));
    sw->forward(sw.port(1), batch);
  };
  forward();
  std::vector<Plug*>& backlogged = sw->flush();
  EXPECT_THAT(backlogged, ElementsAre(sw.port(2).plugs()[0].get(), sw.port(3).plugs()[0].get()));
  backlogged.clear();
  forward();
  EXPECT_THAT(sw->flush(), IsEmpty()) << "they are waited for already";
}

TEST_F(SwitchTest, DoesNotNameAPlugThatHasLeft) {
  TestSwitch sw(2);
  sw.cable(2).room = 0;
  FrameBatch batch;
  for (int i = 0; i < 64; ++i) batch.push(testing::frame_of(sw.pool(), frame()));
  sw->forward(sw.port(1), batch);  // 64 are sent at once: the plug has its backlog now
  sw.unplug(2);
  EXPECT_THAT(sw->flush(), IsEmpty());
}

TEST_F(SwitchTest, GivesIdleQueueMemoryBackAndUsesItAgain) {
  TestSwitch sw(2);
  sw.cable(2).room = 0;
  sw.send(1, frame().payload("a"));
  sw->release_idle_queues();
  sw.read(2, Cable::kUnlimited);
  EXPECT_THAT(sw.received(2), ElementsAre(frame().payload("a")));
  sw->release_idle_queues();
  sw->release_idle_queues();
  sw.cable(2).room = 0;
  sw.send(1, frame().payload("b"));
  sw.read(2, Cable::kUnlimited);
  EXPECT_THAT(sw.received(2), ElementsAre(frame().payload("b")));
}

// ---- the state as a value ----

TEST_F(SwitchTest, IsDescribedByAState) {
  EXPECT_EQ(sw_->state().mac, kCarol);
  EXPECT_EQ(sw_->state().ports_max, 5);
  EXPECT_THAT(sw_->state().ports, IsEmpty());
  EXPECT_THAT(sw_->state().vlans, IsEmpty());
}

void configure(Switch& bridge) {
  for (const VlanId vlan : {VlanId{1}, VlanId{10}, VlanId{4094}}) {
    ASSERT_TRUE(bridge.vlans().create(vlan).ok());
  }
  for (PortId id = 0; id <= 4; ++id) ASSERT_TRUE(bridge.create_port(id).ok());
  ASSERT_TRUE(bridge.set_native_vlan(1, 10).ok());
  ASSERT_TRUE(bridge.set_native_vlan(2, kVlanNone).ok());
  ASSERT_TRUE(bridge.set_native_vlan(3, 4094).ok());
  for (const VlanId vlan : {VlanId{0}, VlanId{1}, VlanId{10}}) {
    ASSERT_TRUE(bridge.vlans().add_tagged(vlan, 3).ok());
  }
  bridge.port(1)->allocatable = true;
  bridge.port(2)->pass_tags = true;
  bridge.port(3)->user_allowed = kJoe;
  bridge.port(3)->group_allowed = kStaff;
  bridge.port(4)->queue_bytes_max = 12345;
  bridge.macs().settings().expire_s = 7;
  bridge.macs().settings().hold_s = 9;
}

TEST_F(SwitchTest, IsRestoredFromItsState) {
  configure(*sw_);
  sw_->pass_tags_by_default = true;
  sw_->macs().settings().shown_buckets = 512;
  const SwitchState state = sw_->state();
  EXPECT_EQ(state.ports.size(), 5U);
  EXPECT_THAT(state.ports[3].tagged_vlans, ElementsAre(0, 1, 10));

  TestSwitch successor;
  ASSERT_TRUE(successor->restore(state).ok());
  EXPECT_EQ(successor->state(), state);
  EXPECT_EQ(successor->mac(), kCarol);
  EXPECT_EQ(successor->vlans().native(1), 10);
  EXPECT_EQ(successor->vlans().native(2), kVlanNone);
  EXPECT_TRUE(successor->vlans().is_tagged(0, 3));
  EXPECT_TRUE(successor->port(2)->pass_tags);
  EXPECT_EQ(successor->port(4)->queue_bytes_max, 12345U);
  EXPECT_EQ(code_of(successor->port_for(port_number(3, {kEve, kEve, 1, {}}))), EACCES);
}

TEST_F(SwitchTest, InheritsWhatPortsAreBornWith) {
  sw_->pass_tags_by_default = true;
  sw_->macs().settings().shown_buckets = 512;
  TestSwitch successor;
  ASSERT_TRUE(successor->restore(sw_->state()).ok());
  EXPECT_TRUE(successor->create_port(PortId{1}).value()->pass_tags);
  EXPECT_EQ(successor->macs().settings().shown_buckets, 512U);
}

TEST_F(SwitchTest, RestoresAHub) {
  sw_->set_hub(true);
  TestSwitch successor;
  ASSERT_TRUE(successor->restore(sw_->state()).ok());
  EXPECT_TRUE(successor->is_hub());
}

TEST_F(SwitchTest, RefusesAStateThatDoesNotFit) {
  SwitchState state;
  state.ports_max = 5;
  state.ports.push_back({});
  state.ports.back().id = 6;
  TestSwitch beyond;
  EXPECT_EQ(code_of(beyond->restore(state)), EINVAL);

  state.ports.back().id = 1;
  state.ports.back().native_vlan = 10;  // which is not in the state
  TestSwitch unknown_vlan;
  EXPECT_EQ(code_of(unknown_vlan->restore(state)), ENXIO);

  state.ports.back().native_vlan = 0;
  TestSwitch in_use(1);
  EXPECT_EQ(code_of(in_use->restore(state)), EEXIST);
}

}  // namespace
}  // namespace lanyard
