// SPDX-License-Identifier: MIT
#include "switch/daemon/handover_frames.h"

#include <gtest/gtest.h>

#include "tests/support/fake_log.h"
#include "tests/support/test_switch.h"

namespace lanyard::testing {
namespace {

// A switch with cables in the ports 1 to 3, and the lane it would have.
struct World {
  World() : loop(EventLoop::create().take()), lane(*bridge, bridge.pool(), *loop, log) {}

  TestSwitch bridge{3};
  FakeLog log;
  std::unique_ptr<EventLoop> loop;
  Lane lane;
};

// Alice is at port 1; Bob, who is in their VLAN tagged, at port 2, reads one frame and no more.
SwitchRecord busy(World& world) {
  TestSwitch& bridge = world.bridge;
  EXPECT_TRUE(bridge->vlans().create(7));
  EXPECT_TRUE(bridge->set_native_vlan(1, 7));
  EXPECT_TRUE(bridge->vlans().add_tagged(7, 2));
  bridge.send(2, frame().from(kBob).to(kBroadcast).tag(7, 5));
  bridge.cable(2).room = 1;
  for (const char* const text : {"first", "second", "third"}) {
    bridge.send(1, frame().from(kAlice).to(kBob).payload(text));
  }
  SwitchRecord record;
  seal_frames(*bridge, bridge.pool(), record);
  return record;
}

TEST(HandoverFrames, SealingLeavesTheSwitchAsItWas) {
  World world;
  busy(world);
  EXPECT_EQ(world.bridge.received(2).size(), 1U);
  world.bridge.read(2, 10);
  EXPECT_EQ(world.bridge.received(2).size(), 2U);
  expect_balance(*world.bridge);
}

TEST(HandoverFrames, ASuccessorSendsWhatWaited) {
  World before;
  const SwitchRecord record = busy(before);
  World after;
  restore_frames(record, after.bridge.pool(), *after.bridge, after.lane);
  expect_balance(*after.bridge);
  after.bridge.read(2, 10);
  before.bridge.received(2);
  before.bridge.read(2, 10);
  EXPECT_EQ(after.bridge.received(2), before.bridge.received(2));
  expect_balance(*after.bridge);
}

TEST(HandoverFrames, ASuccessorKnowsWhoIsWhereAndHasCounted) {
  World before;
  const SwitchRecord record = busy(before);
  World after;
  restore_frames(record, after.bridge.pool(), *after.bridge, after.lane);
  EXPECT_EQ(after.bridge->macs().find(kAlice, 7), 1);
  EXPECT_EQ(after.bridge->macs().find(kBob, 7), 2);
  SwitchRecord again;
  seal_frames(*after.bridge, after.bridge.pool(), again);
  EXPECT_EQ(again.counters, record.counters);
  EXPECT_EQ(again.queues, record.queues);
  EXPECT_EQ(again.stations, record.stations);
}

TEST(HandoverFrames, WhatWaitedForSomebodyWhoIsGoneIsCounted) {
  World before;
  const SwitchRecord record = busy(before);
  World after;
  after.bridge.unplug(2);
  restore_frames(record, after.bridge.pool(), *after.bridge, after.lane);
  EXPECT_EQ(after.bridge.port(2).counters.drops.of(Drop::receiver_gone), 2U);
  EXPECT_EQ(after.bridge->macs().find(kBob, 7), kPortNone);
  expect_balance(*after.bridge);
}

}  // namespace
}  // namespace lanyard::testing
