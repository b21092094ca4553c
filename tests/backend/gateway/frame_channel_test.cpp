// SPDX-License-Identifier: MIT
#include "backend/gateway/frame_channel.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/gateway_link.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::GatewayLink;
using testing::SocketPair;
using testing::WireFrame;

Bytes frame_of(std::size_t size, std::uint8_t mark = 0) {
  Bytes frame(size, mark);
  return frame;
}

TEST(FrameChannel, ReceivesInBatchesWithWhatFramesOwe) {
  GatewayLink gateway;
  Offload owed;
  owed.needs_checksum = true;
  owed.checksum_start = 34;
  owed.checksum_offset = 6;
  for (std::uint8_t i = 0; i < 100; ++i) gateway.send(frame_of(60, i), i == 70 ? owed : Offload{});
  ASSERT_TRUE(gateway.until([&] { return gateway.got.size() == 100; }));
  EXPECT_EQ(gateway.got[99].frame, frame_of(60, 99));
  EXPECT_EQ(gateway.got[70].offload, owed);
  EXPECT_EQ(gateway.got[71].offload, Offload{});
  EXPECT_EQ(gateway.channel->counters().received_frames, 100U);
}

TEST(FrameChannel, WhatIsNoFrameIsCounted) {
  GatewayLink gateway;
  const auto message = [&](std::size_t size) {
    EXPECT_TRUE(gateway.switch_end.send(WireFrame{Bytes(size, 0)}));
  };
  message(kVirtioHeaderSize);
  message(kVirtioHeaderSize + 1);
  message(kVirtioHeaderSize + kEthernetHeaderSize - 1);
  Bytes lie(100, 0);
  lie[0] = 1;              // owes a checksum
  lie[6] = lie[7] = 0xff;  // far away
  EXPECT_TRUE(gateway.switch_end.send(WireFrame{lie}));
  gateway.send(frame_of(60));
  ASSERT_TRUE(gateway.until([&] { return !gateway.got.empty(); }));
  const FrameCounters& counters = gateway.channel->counters();
  EXPECT_EQ(counters.runts, 3U);
  EXPECT_EQ(counters.bad_offload, 1U);
  EXPECT_EQ(counters.received_frames, 1U);
}

TEST(FrameChannel, WhatIsSentInATurnGoesOutInOrder) {
  GatewayLink gateway;
  const std::vector<std::size_t> sizes{60, 1514, 9000, 60, 65000, 60};
  for (std::uint8_t i = 0; i < sizes.size(); ++i) {
    gateway.channel->send(frame_of(sizes[i], i), {});
  }
  const auto frames = gateway.take();
  ASSERT_EQ(frames.size(), sizes.size());
  for (std::uint8_t i = 0; i < sizes.size(); ++i) EXPECT_EQ(frames[i], frame_of(sizes[i], i));
}

TEST(FrameChannel, ASwitchThatStandsStillIsWaitedForAndThenLosesFrames) {
  GatewayLink gateway;
  std::size_t sent = 0;
  while (gateway.channel->has_room()) {
    gateway.channel->send(frame_of(1514, static_cast<std::uint8_t>(sent++)), {});
    if (sent % 64 == 0) gateway.channel->flush();
  }
  EXPECT_GT(gateway.channel->backlog(), FrameChannel::kBacklogHigh);
  EXPECT_EQ(gateway.channel->counters().dropped, 0U);
  for (int i = 0; i < 2000; ++i) gateway.channel->send(frame_of(1514), {});
  EXPECT_GT(gateway.channel->counters().dropped, 0U);
  EXPECT_LE(gateway.channel->backlog(), FrameChannel::kBacklogMax);

  std::vector<WireFrame> frames;
  ASSERT_TRUE(gateway.until([&] {
    for (WireFrame& wire : gateway.switch_end.receive()) {
      frames.push_back(std::move(wire));
    }
    return gateway.channel->backlog() == 0;
  }));
  for (WireFrame& wire : gateway.switch_end.receive()) {
    frames.push_back(std::move(wire));
  }
  EXPECT_TRUE(gateway.channel->has_room());
  EXPECT_EQ(gateway.rooms, 1);
  EXPECT_EQ(frames.size(), gateway.channel->counters().sent_frames);
  for (std::size_t i = 0; i < sent; ++i) {
    ASSERT_EQ(frames[i].bytes.back(), static_cast<std::uint8_t>(i)) << "in order, none missing";
  }
}

TEST(FrameChannel, GoesOnWithTheRingsOfASuccessorAndLosesNothing) {
  GatewayLink gateway;
  gateway.channel->send(frame_of(60, 1), {});
  gateway.channel->flush();
  gateway.send(frame_of(60, 2));
  const std::unique_ptr<FrameRings> before = gateway.switch_end.offer();
  gateway.send(frame_of(60, 3));
  ASSERT_TRUE(gateway.until([&] { return gateway.got.size() == 2; }));
  EXPECT_EQ(gateway.got[0].frame, frame_of(60, 2)) << "of the one before";
  EXPECT_EQ(gateway.got[1].frame, frame_of(60, 3));
  gateway.channel->send(frame_of(60, 4), {});
  EXPECT_EQ(gateway.take(), (std::vector<Bytes>{frame_of(60, 1), frame_of(60, 4)}));
  EXPECT_TRUE(before->is_left());
}

TEST(FrameChannel, BeforeThereAreRingsFramesWait) {
  GatewayLink gateway;
  SocketPair pair(SOCK_SEQPACKET);
  auto channel = FrameChannel::open(*gateway.loop, std::move(pair.ours), {}).take();
  channel->send(frame_of(60, 1), {});
  channel->flush();
  testing::RingEnd end = testing::RingEnd::offering(std::move(pair.theirs));
  std::vector<WireFrame> got;
  ASSERT_TRUE(gateway.until([&] {
    got = end.receive();
    return !got.empty();
  }));
  EXPECT_EQ(got[0].bytes.back(), 1);
}

TEST(FrameChannel, ManyFramesAreTakenInSeveralTurns) {
  GatewayLink gateway;
  for (std::size_t i = 0; i < 5 * FrameChannel::kBatch; ++i) gateway.send(frame_of(60));
  gateway.loop->run_once(false);
  EXPECT_EQ(gateway.got.size(), FrameChannel::kBatch) << "others have their turn";
  ASSERT_TRUE(gateway.until([&] { return gateway.got.size() == 5 * FrameChannel::kBatch; }));
}

TEST(FrameChannel, WhatIsNoOfferEndsIt) {
  GatewayLink gateway;
  msghdr header{};
  std::uint8_t byte = 7;
  iovec content{&byte, 1};
  header.msg_iov = &content;
  header.msg_iovlen = 1;
  PassedDescriptor passed;
  passed.attach(header, 0);
  ASSERT_EQ(::sendmsg(gateway.switch_end.fd(), &header, 0), 1);
  EXPECT_TRUE(gateway.until([&] { return gateway.closed; }));
}

TEST(FrameChannel, EndsWithTheSwitch) {
  GatewayLink gateway;
  gateway.send(frame_of(60));
  gateway.switch_end.close();
  ASSERT_TRUE(gateway.until([&] { return gateway.closed; }));
  EXPECT_EQ(gateway.got.size(), 1U) << "what was sent before counts";
  gateway.channel->send(frame_of(60), {});
  gateway.channel->flush();
}

TEST(FrameChannel, TakesOnlyASocketThatKeepsMessages) {
  GatewayLink gateway;
  SocketPair stream(SOCK_STREAM);
  const auto channel = FrameChannel::open(*gateway.loop, std::move(stream.ours), {});
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, EPROTOTYPE);
}

}  // namespace
}  // namespace lanyard
