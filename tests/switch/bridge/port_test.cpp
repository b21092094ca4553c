// SPDX-License-Identifier: MIT
#include "switch/bridge/port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/large_packet.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using testing::Cable;
using ::testing::ElementsAre;
using testing::expect_balance;
using testing::frame;
using ::testing::IsEmpty;
using testing::LargePacket;
using testing::TestSwitch;
using testing::WireFrame;

// Frames that can be told apart: "0", "1", ...
std::vector<WireFrame> numbered(int first, int count, std::size_t size = 60) {
  std::vector<WireFrame> frames;
  for (int i = first; i < first + count; ++i) {
    frames.push_back(frame().payload(std::to_string(i)).size(size));
  }
  return frames;
}

TEST(Port, ListsTheNewestPlugFirst) {
  TestSwitch sw;
  Plug& first = sw.plug(1);
  Plug& second = sw.plug(1);
  Port& port = sw.port(1);
  ASSERT_EQ(port.plugs().size(), 2U);
  EXPECT_EQ(port.plugs()[0].get(), &second);
  EXPECT_EQ(port.plugs()[1].get(), &first);
  EXPECT_EQ(port.find_plug(first.traits().id), &first);
  EXPECT_EQ(port.find_plug(second.traits().id), &second);
  EXPECT_EQ(port.find_plug(12345), nullptr);
  EXPECT_TRUE(port.active());
}

TEST(Port, GivesItsPlugsBack) {
  TestSwitch sw;
  Plug& first = sw.plug(1);
  sw.plug(1);
  const std::unique_ptr<Plug> taken = sw.port(1).take_plug(first);
  EXPECT_EQ(taken.get(), &first);
  EXPECT_EQ(sw.port(1).take_plug(first), nullptr) << "once";
  EXPECT_EQ(sw.port(1).plugs().size(), 1U);
}

TEST(Plug, SendsToEveryPlugOfAPort) {
  TestSwitch sw(2);
  Plug& sibling = sw.plug(2);
  sw.send(1, frame().payload("x"));
  EXPECT_THAT(sw.received(2), ElementsAre(frame().payload("x")));
  EXPECT_THAT(sw.cable(sibling).take(), ElementsAre(frame().payload("x")));
  EXPECT_EQ(sw.port(2).counters.outgoing.frames, 1U) << "VDE counts once per port";
  EXPECT_EQ(sw.port(2).counters.offered, 2U);
  EXPECT_EQ(sw.port(2).counters.transmitted, 2U);
  expect_balance(*sw);
}

TEST(Plug, DoesNotSendToSiblings) {
  TestSwitch sw(2);
  Plug& sibling = sw.plug(1);
  sw.send(1, frame());
  EXPECT_THAT(sw.cable(sibling).take(), IsEmpty());
  EXPECT_THAT(sw.received(1), IsEmpty());
  EXPECT_EQ(sw.received(2).size(), 1U);
}

TEST(Plug, QueuesWhatASlowReaderDoesNotTakeAndKeepsTheOrder) {
  TestSwitch sw(2);
  sw.cable(2).room = 3;
  sw.send(1, numbered(0, 10));
  EXPECT_EQ(sw.received(2), numbered(0, 3));
  EXPECT_TRUE(sw.port(2).plugs()[0]->has_backlog());
  EXPECT_TRUE(sw.port(2).plugs()[0]->waiting_writable);
  expect_balance(*sw);

  sw.send(1, numbered(10, 5));
  EXPECT_THAT(sw.received(2), IsEmpty()) << "nothing overtakes what is queued";
  sw.read(2, 4);
  EXPECT_EQ(sw.received(2), numbered(3, 4));
  expect_balance(*sw);
  sw.read(2, Cable::kUnlimited);
  EXPECT_EQ(sw.received(2), numbered(7, 8));
  EXPECT_FALSE(sw.port(2).plugs()[0]->has_backlog());
  EXPECT_EQ(sw.port(2).counters.drops.outgoing(), 0U);
  expect_balance(*sw);
}

TEST(Plug, SendsTheQueueBeforeNewFrames) {
  TestSwitch sw(2);
  sw.cable(2).room = 2;
  sw.send(1, numbered(0, 5));
  sw.cable(2).room = Cable::kUnlimited;
  sw.send(1, numbered(5, 5));
  EXPECT_EQ(sw.received(2), numbered(0, 10));
  EXPECT_FALSE(sw.port(2).plugs()[0]->has_backlog());
}

TEST(Plug, DropsByNameWhenTheQueueIsFull) {
  TestSwitch sw(1);
  PlugRequest request;
  request.port = 2;
  sw->port_for(request).value()->queue_bytes_max = 10000;
  sw.plug(2);
  sw.cable(2).room = 0;
  sw.send(1, numbered(0, 100, 1000));
  const Port& port = sw.port(2);
  const std::size_t queued = port.plugs()[0]->queue().frames();
  EXPECT_GE(queued, 9U);
  EXPECT_LE(queued, 10U);
  EXPECT_EQ(port.counters.drops.of(Drop::queue_full), 100 - queued);
  EXPECT_EQ(port.counters.drops.outgoing(), 100 - queued);
  EXPECT_EQ(port.counters.outgoing.frames, 100U);
  expect_balance(*sw);
  sw.read(2, Cable::kUnlimited);
  EXPECT_EQ(sw.received(2), numbered(0, static_cast<int>(queued), 1000)) << "the oldest are kept";
  expect_balance(*sw);
}

TEST(Plug, DelaysNobodyElse) {
  TestSwitch sw(4);
  sw.cable(2).room = 0;
  sw.send(1, numbered(0, 2000, 1514));
  EXPECT_EQ(sw.received(3), numbered(0, 2000, 1514));
  EXPECT_EQ(sw.received(4), numbered(0, 2000, 1514));
  EXPECT_EQ(sw.port(3).counters.drops.outgoing(), 0U);
  EXPECT_GT(sw.port(2).counters.drops.of(Drop::queue_full), 0U);
  expect_balance(*sw);
}

TEST(Plug, DropsWhatIsLongerThanItsReceiverTakes) {
  TestSwitch sw(2);
  sw.cable(2).frame_max = 1000;
  sw.send(1, {frame().size(1000), frame().size(1001), frame().payload("last")});
  EXPECT_THAT(sw.received(2), ElementsAre(frame().size(1000), frame().payload("last")));
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::exceeds_receiver), 1U);
  expect_balance(*sw);
}

TEST(Plug, CountsTheTagAgainstItsReceiversLimit) {
  TestSwitch sw(2);
  ASSERT_TRUE(sw->vlans().create(10).ok());
  ASSERT_TRUE(sw->set_native_vlan(1, 10).ok());
  ASSERT_TRUE(sw->vlans().add_tagged(10, 2).ok());
  sw.cable(2).frame_max = 1000;
  sw.send(1, {frame().size(996), frame().size(997)});
  EXPECT_THAT(sw.received(2), ElementsAre(frame().tag(10).size(1000)));
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::exceeds_receiver), 1U);
}

TEST(Plug, DropsTooLongFramesByNameEvenBehindAQueue) {
  TestSwitch sw(2);
  sw.cable(2).frame_max = 1000;
  sw.cable(2).room = 0;
  sw.send(1, {frame().payload("a"), frame().size(2000), frame().payload("b")});
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::exceeds_receiver), 1U);
  expect_balance(*sw);
  sw.read(2, Cable::kUnlimited);
  EXPECT_THAT(sw.received(2), ElementsAre(frame().payload("a"), frame().payload("b")));
}

TEST(Plug, PaysForThoseWhoCannotAndForNobodyElse) {
  TestSwitch sw(4);
  LargePacket packet;
  packet.payload = 60'000;
  sw.cable(2).offloads = true;
  sw.cable(3).frame_max = 1522;
  sw.cable(4).frame_max = 1522;
  sw.send(1, {frame().payload("first"), packet.wire(), frame().payload("last")});
  EXPECT_THAT(sw.received(2),
              ElementsAre(frame().payload("first"), packet.wire(), frame().payload("last")));
  for (const PortId id : {PortId{3}, PortId{4}}) {
    const auto got = sw.received(id);
    ASSERT_EQ(got.size(), 2U + 42U);
    EXPECT_EQ(got.front(), frame().payload("first"));
    EXPECT_EQ(got.back(), frame().payload("last"));
    for (std::size_t i = 0; i < 42; ++i) {
      EXPECT_EQ(packet.fault(got[i + 1].bytes, i, i * packet.segment_size), "");
      EXPECT_TRUE(got[i + 1].offload.owes_nothing());
    }
    EXPECT_EQ(sw.port(id).counters.transmitted, 44U) << "as its receiver got them";
    EXPECT_EQ(sw.port(id).counters.outgoing.frames, 3U) << "as they were forwarded";
  }
  expect_balance(*sw);
}

TEST(Plug, QueuesTheSegmentsOfALargeFrame) {
  TestSwitch sw(2);
  LargePacket packet;
  packet.payload = 10'000;
  sw.cable(2).room = 2;
  sw.send(1, packet.wire());
  EXPECT_EQ(sw.received(2).size(), 2U);
  expect_balance(*sw);
  sw.read(2, Cable::kUnlimited);
  const auto rest = sw.received(2);
  ASSERT_EQ(rest.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(packet.fault(rest[i].bytes, i + 2, (i + 2) * packet.segment_size), "");
  }
}

TEST(Plug, QueuesALargeFrameAsItIsForWhoTakesIt) {
  TestSwitch sw(2);
  const LargePacket packet;
  sw.cable(2).offloads = true;
  sw.cable(2).room = 0;
  sw.send(1, {packet.wire(), frame().payload("b")});
  sw.read(2, Cable::kUnlimited);
  EXPECT_THAT(sw.received(2), ElementsAre(packet.wire(), frame().payload("b")));
}

TEST(Plug, JudgesALargeFrameByWhatItBecomes) {
  TestSwitch sw(2);
  LargePacket packet;
  sw.cable(2).frame_max = static_cast<std::uint32_t>(packet.header_size() + packet.segment_size);
  sw.send(1, packet.wire());
  EXPECT_EQ(sw.received(2).size(), 4U);
  ++packet.segment_size;
  sw.send(1, {packet.wire(), frame().payload("last")});
  EXPECT_THAT(sw.received(2), ElementsAre(frame().payload("last")));
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::exceeds_receiver), 1U);
  expect_balance(*sw);
}

TEST(Plug, CountsWhatItsEndpointLosesByTheEndpointsReason) {
  for (const Drop why : {Drop::receiver_gone, Drop::link_down, Drop::transmit_error}) {
    TestSwitch sw(3);
    sw.cable(2).loses = why;
    sw.send(1, numbered(0, 5));
    EXPECT_EQ(sw.port(2).counters.drops.of(why), 5U);
    EXPECT_EQ(sw.port(2).counters.transmitted, 0U);
    EXPECT_FALSE(sw.port(2).plugs()[0]->has_backlog());
    EXPECT_EQ(sw.received(3).size(), 5U);
    expect_balance(*sw);
  }
}

TEST(Plug, CountsWhatIsStillQueuedWhenItIsUnplugged) {
  TestSwitch sw(2);
  sw.cable(2).room = 0;
  sw.send(1, numbered(0, 7));
  sw.unplug(2);
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::unplugged), 7U);
  expect_balance(*sw);
}

TEST(Plug, DrainsABoundedPieceAtATime) {
  TestSwitch sw(2);
  sw.cable(2).room = 0;
  sw.send(1, numbered(0, 2000));
  Plug& plug = *sw.port(2).plugs()[0];
  sw.cable(2).room = Cable::kUnlimited;
  EXPECT_EQ(plug.drain(sw.pool()), Plug::Drained::for_another_turn)
      << "a long queue does not hold up the turn";
  EXPECT_GT(sw.cable(2).from_switch.size(), 100U);
  EXPECT_LT(sw.cable(2).from_switch.size(), 2000U);
  while (plug.drain(sw.pool()) != Plug::Drained::empty) {
  }
  EXPECT_EQ(sw.received(2), numbered(0, 2000));
  expect_balance(*sw);
}

TEST(Plug, KeepsTagsInItsQueue) {
  TestSwitch sw(3);
  ASSERT_TRUE(sw->vlans().create(10).ok());
  for (const PortId id : {PortId{1}, PortId{2}}) {
    ASSERT_TRUE(sw->vlans().add_tagged(10, id).ok());
  }
  ASSERT_TRUE(sw->set_native_vlan(3, 10).ok());
  for (const PortId id : {PortId{2}, PortId{3}}) sw.cable(id).room = 0;
  sw.send(1, frame().tag(10, 5, true).payload("x"));
  for (const PortId id : {PortId{2}, PortId{3}}) sw.read(id, Cable::kUnlimited);
  EXPECT_THAT(sw.received(2), ElementsAre(frame().tag(10, 5, true).payload("x")));
  EXPECT_THAT(sw.received(3), ElementsAre(frame().payload("x")));
}

}  // namespace
}  // namespace lanyard
