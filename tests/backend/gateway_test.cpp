// SPDX-License-Identifier: MIT
//
// The switch's end of a gateway's frame socket; the tests hold the gateway's end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "switch/frame/virtio_header.h"
#include "switch/runtime/backend.h"
#include "tests/support/lane_fixture.h"
#include "tests/support/large_packet.h"
#include "tests/support/ring_end.h"

namespace lanyard {
namespace {

using testing::Cable;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::LaneFixture;
using testing::LargePacket;
using testing::RingEnd;
using testing::SocketPair;
using testing::WireFrame;

class GatewayBackendTest : public ::testing::Test, protected LaneFixture {
 protected:
  GatewayBackendTest() { register_builtin_backends(registry_); }

  Result<void> open(const std::string& url) {
    return registry_.open(BackendOptions::parse(url).take(), lane);
  }
  // Plugs in a gateway and returns its own end.
  RingEnd open_gateway(const std::string& keys = "") {
    SocketPair pair(SOCK_SEQPACKET);
    const Result<void> done = open(fmt::format("gateway://{}{}", pair.ours.release(), keys));
    EXPECT_TRUE(done.ok()) << done.error().text;
    return RingEnd(std::move(pair.theirs));
  }
  static void send_message(RingEnd& gateway, const VirtioHeader& header, const WireFrame& wire) {
    testing::Bytes message(header.begin(), header.end());
    message.insert(message.end(), wire.bytes.begin(), wire.bytes.end());
    EXPECT_TRUE(gateway.send(WireFrame{message}));
  }

  BackendRegistry registry_;
};

WireFrame to_bob(std::size_t size = 60) {
  return frame().from(kAlice).to(kBob).size(size);
}

// TCP from Alice to Bob.
LargePacket large_packet() {
  LargePacket packet;
  packet.payload = 40'000;
  return packet;
}

TEST_F(GatewayBackendTest, CarriesFramesBehindAHeader) {
  RingEnd gateway = open_gateway();
  const std::shared_ptr<Cable> guest = plug_memory();
  for (int i = 0; i < 3; ++i) send_message(gateway, {}, to_bob());
  ASSERT_TRUE(until([&] { return guest->from_switch.size() == 3; }));
  EXPECT_EQ(guest->from_switch[2].bytes, to_bob().bytes);

  for (int i = 0; i < 3; ++i) guest->to_switch.push_back(to_bob(1514));
  Plug* const plug = bridge.port(2)->plugs().front().get();
  lane.wake(*plug);
  std::vector<WireFrame> got;
  ASSERT_TRUE(until([&] {
    for (WireFrame& wire : gateway.receive()) got.push_back(std::move(wire));
    return got.size() == 3;
  }));
  ASSERT_EQ(got[0].bytes.size(), kVirtioHeaderSize + 1514);
  EXPECT_EQ(testing::Bytes(got[0].bytes.begin() + kVirtioHeaderSize, got[0].bytes.end()),
            to_bob(1514).bytes);
}

TEST_F(GatewayBackendTest, PassesOnWhatAFrameOwes) {
  RingEnd first = open_gateway();
  RingEnd second = open_gateway();
  const WireFrame large = large_packet().wire();
  const VirtioHeader header = make_virtio_header(large.offload);
  send_message(first, header, large);
  std::vector<WireFrame> got;
  ASSERT_TRUE(until([&] {
    got = second.receive();
    return !got.empty();
  }));
  ASSERT_EQ(got[0].bytes.size(), kVirtioHeaderSize + large.bytes.size());
  EXPECT_TRUE(std::equal(header.begin(), header.end(), got[0].bytes.begin()));
}

TEST_F(GatewayBackendTest, LiesAndRuntsAreCounted) {
  RingEnd gateway = open_gateway();
  plug_memory();
  send_message(gateway, make_virtio_header(large_packet().offload()),
               to_bob(53));  // no room for headers
  send_message(gateway, {}, WireFrame{});
  send_message(gateway, {}, WireFrame{testing::Bytes(3)});
  const DropCounters& drops = bridge.port(1)->counters.drops;
  ASSERT_TRUE(until([&] { return drops.incoming() == 3; }));
  EXPECT_EQ(drops.of(Drop::malformed_offload), 1U);
  EXPECT_EQ(drops.of(Drop::too_short), 2U);
}

TEST_F(GatewayBackendTest, EndsWithTheGateway) {
  RingEnd gateway = open_gateway("?port=7&name=lab");
  EXPECT_NE(bridge.port(7), nullptr);
  send_message(gateway, {}, to_bob());
  gateway.close();
  EXPECT_TRUE(until([&] { return bridge.port(7) == nullptr || bridge.port(7)->plugs().empty(); }));
}

TEST_F(GatewayBackendTest, OneThatIsGoneAlreadyEndsAsOneThatEnds) {
  SocketPair pair(SOCK_SEQPACKET);
  pair.theirs.reset();
  const Result<void> done = open(fmt::format("gateway://{}", pair.ours.release()));
  ASSERT_TRUE(done.ok()) << done.error().text;
  EXPECT_TRUE(until([&] { return bridge.port(1) == nullptr || bridge.port(1)->plugs().empty(); }));
}

TEST_F(GatewayBackendTest, WhatAGatewaySentBeforeItsEndCounts) {
  RingEnd gateway = open_gateway();
  const std::shared_ptr<Cable> guest = plug_memory();
  for (int i = 0; i < 100; ++i) send_message(gateway, {}, to_bob());
  gateway.close();
  EXPECT_TRUE(until([&] { return guest->from_switch.size() == 100; }));
}

TEST_F(GatewayBackendTest, AGatewayThatDoesNotReadIsWaitedFor) {
  RingEnd gateway = open_gateway();
  const std::shared_ptr<Cable> guest = plug_memory();
  Plug* const plug = bridge.port(2)->plugs().front().get();
  const std::size_t count = FrameRings::kToGateway / 1536 + 200;
  for (std::size_t i = 0; i < count; ++i) guest->to_switch.push_back(to_bob(1514));
  lane.wake(*plug);
  ASSERT_TRUE(until([&] { return guest->to_switch.empty() && !lane.has_work(); }));
  const Plug& to_gateway = *bridge.port(1)->plugs().front();
  EXPECT_TRUE(to_gateway.has_backlog());
  std::size_t got = 0;
  ASSERT_TRUE(until([&] { return (got += gateway.receive().size()) == count; }));
  EXPECT_FALSE(to_gateway.has_backlog());
  EXPECT_EQ(bridge.port(1)->counters.drops.outgoing(), 0U);
}

TEST_F(GatewayBackendTest, ARingThatCannotBeIsTheEndOfThePort) {
  RingEnd gateway = open_gateway();
  send_message(gateway, {}, to_bob());
  FrameRingReader own = gateway.rings().unread();
  FrameRingReader::Record record;
  ASSERT_EQ(own.next(record), FrameRingReader::Next::record);
  const std::uint32_t lie = 0xffffff00;
  std::memcpy(record.frame().data() - kVirtioHeaderSize - sizeof lie, &lie, sizeof lie);
  EXPECT_TRUE(until([&] { return bridge.port(1) == nullptr || bridge.port(1)->plugs().empty(); }));
  EXPECT_FALSE(receive_with_descriptor(gateway.fd(), 64).ok()) << "and the gateway is told";
}

TEST_F(GatewayBackendTest, AGatewayThatFollowedASuccessorIsCalledBack) {
  RingEnd gateway = open_gateway();
  const std::shared_ptr<Cable> guest = plug_memory();
  FrameRings* const before = &gateway.rings();
  before->leave();
  lane.wake(*bridge.port(1)->plugs().front());
  ASSERT_TRUE(until([&] {
    gateway.hear();
    return &gateway.rings() != before;
  }));
  send_message(gateway, {}, to_bob());
  EXPECT_TRUE(until([&] { return guest->from_switch.size() == 1; }));
}

TEST_F(GatewayBackendTest, OneThatLeavesAgainAndAgainIsTheEndOfThePort) {
  RingEnd gateway = open_gateway();
  EXPECT_TRUE(until([&] {
    const Port* const port = bridge.port(1);
    if (port == nullptr || port->plugs().empty()) return true;
    gateway.hear();
    gateway.rings().leave();
    lane.wake(*port->plugs().front());
    return false;
  }));
}

TEST_F(GatewayBackendTest, RefusesWhatIsNoFrameSocket) {
  SocketPair stream(SOCK_STREAM);
  EXPECT_EQ(open(fmt::format("gateway://{}", stream.ours.get())).error().code, EPROTOTYPE);
  EXPECT_EQ(open("gateway://99999").error().code, EBADF);
  EXPECT_EQ(open("gateway://lab").error().code, EINVAL);
  EXPECT_EQ(open("gateway://").error().code, EINVAL);
  EXPECT_EQ(open("gateway://3?port=x").error().code, EINVAL);
  EXPECT_EQ(open("gateway://3?colour=red").error().code, EINVAL);
}

}  // namespace
}  // namespace lanyard
