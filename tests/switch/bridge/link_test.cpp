// SPDX-License-Identifier: MIT
//
// The cable of a port, pulled and plugged in by an operator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using testing::Cable;
using testing::expect_balance;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::TestSwitch;

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() {
    bridge.send(1, frame().from(kAlice).to(kBob));
    bridge.send(2, frame().from(kBob).to(kAlice));
    for (PortId id = 1; id <= 3; ++id) bridge.received(id);
  }
  ~LinkTest() override { expect_balance(*bridge); }

  TestSwitch bridge{3};
};

TEST_F(LinkTest, DownNeitherReceivesNorSends) {
  ASSERT_TRUE(bridge->set_link(1, false));
  bridge.send(1, frame().from(kAlice).to(kBob));
  EXPECT_TRUE(bridge.received(2).empty());
  EXPECT_EQ(bridge.port(1).counters.drops.of(Drop::link_admin_down), 1U);
  bridge.send(2, frame().from(kBob).to(kAlice));
  EXPECT_TRUE(bridge.received(1).empty());
  EXPECT_EQ(bridge.received(3).size(), 1U) << "nobody is known to be behind port 1 any more";
}

TEST_F(LinkTest, UpAgainCarriesFrames) {
  ASSERT_TRUE(bridge->set_link(1, false));
  ASSERT_TRUE(bridge->set_link(1, true));
  bridge.send(1, frame().from(kAlice).to(kBob));
  bridge.send(2, frame().from(kBob).to(kAlice));
  EXPECT_EQ(bridge.received(2).size(), 1U);
  EXPECT_EQ(bridge.received(1).size(), 1U);
}

TEST_F(LinkTest, StaysDownForTheNextClient) {
  ASSERT_TRUE(bridge->set_link(1, false));
  bridge.unplug(1);
  bridge.plug(1);
  bridge.send(1, frame().from(kAlice).to(kBob));
  bridge.send(2, frame().from(kBob).to(kAlice));
  EXPECT_TRUE(bridge.received(1).empty());
  EXPECT_TRUE(bridge.received(2).empty());
}

TEST_F(LinkTest, DownDropsWhatWasQueuedByName) {
  bridge.cable(1).room = 0;
  for (int i = 0; i < 5; ++i) bridge.send(2, frame().from(kBob).to(kAlice));
  ASSERT_TRUE(bridge->set_link(1, false));
  EXPECT_EQ(bridge.port(1).counters.drops.of(Drop::cable_pulled), 5U);
  EXPECT_FALSE(bridge.port(1).plugs().front()->has_backlog());
}

TEST_F(LinkTest, DownCountsInAHubToo) {
  bridge->set_hub(true);
  ASSERT_TRUE(bridge->set_link(1, false));
  bridge.send(1, frame().from(kAlice).to(kBob));
  EXPECT_TRUE(bridge.received(3).empty());
  bridge.send(2, frame().from(kBob).to(kAlice));
  EXPECT_TRUE(bridge.received(1).empty());
  EXPECT_EQ(bridge.received(3).size(), 1U);
}

TEST_F(LinkTest, IsPartOfTheState) {
  ASSERT_TRUE(bridge->set_link(2, false));
  TestSwitch successor;
  ASSERT_TRUE(successor->restore(bridge->state()));
  EXPECT_FALSE(successor.port(2).link_up);
  EXPECT_TRUE(successor.port(1).link_up);
}

TEST_F(LinkTest, OfNoPortIsAnError) {
  EXPECT_FALSE(bridge->set_link(9, false));
  EXPECT_FALSE(bridge->set_link(60000, false));
}

TEST_F(LinkTest, AReservedPortIsForNoClient) {
  const Result<Port*> port = bridge->create_port(5);
  ASSERT_TRUE(port);
  port.value()->reserved = true;
  PlugRequest request;
  request.port = 5;
  request.traits.identity.uid = 0;
  EXPECT_FALSE(bridge->port_for(request)) << "not even root";
  request.traits.identity.uid = kNoUser;
  EXPECT_TRUE(bridge->port_for(request)) << "a part of the daemon";
}

}  // namespace
}  // namespace lanyard
