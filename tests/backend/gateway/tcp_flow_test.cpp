// SPDX-License-Identifier: MIT
//
// One connection of the direct TCP engine, segment by segment.
#include "backend/gateway/tcp_flow.h"

#include <gtest/gtest.h>

#include "tests/support/tcp_flow_world.h"

namespace lanyard::testing {
namespace {

constexpr std::uint32_t kOurs = kOurFirst + 1;  // the first byte of each side
constexpr std::uint32_t kGuests = kGuestFirst + 1;

std::size_t payload_of(const std::vector<Wire>& segments) {
  std::size_t bytes = 0;
  for (const Wire& segment : segments) bytes += segment.payload.size();
  return bytes;
}

TEST(TcpFlow, GuestIsAnsweredWhenTheHostIsUp) {
  FlowWorld world;
  world.settle();
  EXPECT_TRUE(world.link.take().empty());
  world.flow->connected();
  world.settle();
  const auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].flags, kTcpSyn | kTcpAck);
  EXPECT_EQ(sent[0].sequence, kOurFirst);
  EXPECT_EQ(sent[0].acknowledgement, kGuests);
  EXPECT_EQ(sent[0].options.segment_size, 1460);
  EXPECT_EQ(sent[0].options.window_shift, TcpReceiver::kWindowShift);
  EXPECT_EQ(sent[0].window, 65535);
}

TEST(TcpFlow, OptionsNotOfferedAreNotUsed) {
  auto opening = opening_of();
  opening.options = {};
  FlowWorld world(opening);
  world.flow->connected();
  world.settle();
  EXPECT_FALSE(world.link.take().at(0).options.window_shift.has_value());
  EXPECT_EQ(world.flow->sender().segment_size(), 536);
}

TEST(TcpFlow, NoConnectionIsAReset) {
  FlowWorld world;
  world.flow->fail(world.link);
  const auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].flags, kTcpRst | kTcpAck);
  EXPECT_EQ(sent[0].acknowledgement, kGuests);
  EXPECT_EQ(world.flow->state(), TcpFlow::State::failed);
}

TEST(TcpFlow, SynIsRepeatedByTimeAndWhenAskedFor) {
  FlowWorld world;
  world.flow->connected();
  world.settle();
  world.link.take();
  world.from_guest({kGuestFirst, 0, 65535, kTcpSyn, {}, {}});
  world.settle();
  EXPECT_EQ(world.link.take().at(0).flags, kTcpSyn | kTcpAck);
  ASSERT_TRUE(world.wait());
  EXPECT_EQ(world.link.take().at(0).flags, kTcpSyn | kTcpAck);
  const Time begin = world.now;
  while (!world.flow->ended()) ASSERT_TRUE(world.wait());
  EXPECT_GE(world.now - begin, std::chrono::minutes(2));
  EXPECT_EQ(world.flow->state(), TcpFlow::State::reset);
}

TEST(TcpFlow, OneReadIsOneFrame) {
  FlowWorld world;
  world.open();
  world.host_writes(50000);
  world.settle();
  const auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].payload, bytes_from(0, 50000));
  EXPECT_EQ(sent[0].sequence, kOurs);
}

TEST(TcpFlow, SmallAnswerCarriesTheAcknowledgement) {
  FlowWorld world;
  world.open();
  world.data(0, 100);
  world.settle();
  EXPECT_TRUE(world.link.take().empty());
  EXPECT_EQ(world.socket.received, bytes_from(0, 100));
  world.host_writes(200);
  world.settle();
  auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].acknowledgement, kGuests + 100);
  // Without an answer it goes by itself, soon.
  world.acknowledge(200);
  world.data(100, 100);
  world.settle();
  EXPECT_TRUE(world.link.take().empty());
  EXPECT_LE(world.flow->deadline() - world.now, std::chrono::milliseconds(5));
  ASSERT_TRUE(world.wait());
  sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].acknowledgement, kGuests + 200);
}

TEST(TcpFlow, ABatchIsAcknowledgedOnceAndAtOnce) {
  FlowWorld world;
  world.open();
  for (std::size_t at = 0; at < 14600; at += 1460) world.data(at, 1460);
  world.settle();
  const auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].acknowledgement, kGuests + 14600);
  EXPECT_EQ(world.socket.received, bytes_from(0, 14600));
}

TEST(TcpFlow, WhatTheSocketDoesNotTakeIsKeptAndTheWindowShrinks) {
  FlowWorld world;
  world.open();
  world.socket.room = 1000;
  const std::size_t window = TcpReceiver::kWindowFirst;
  std::size_t sent = 0;
  std::uint32_t edge = 65535;  // what the SYN offered
  while (sent < edge) {
    const std::size_t size = std::min<std::size_t>(1460, edge - sent);
    world.data(sent, size);
    sent += size;
    world.settle();
    for (const Wire& ack : world.link.take()) {
      edge =
          ack.acknowledgement - kGuests + (std::uint32_t{ack.window} << TcpReceiver::kWindowShift);
    }
    ASSERT_LE(edge, 1000 + window + 128);
  }
  EXPECT_EQ(world.socket.received.size(), 1000U);
  EXPECT_EQ(world.flow->receiver().kept(), sent - 1000);
  // The socket is read from: the guest is told at once that it may go on.
  world.socket.room = std::size_t{1} << 20;
  world.flow->writable();
  world.settle();
  const auto update = world.link.take();
  ASSERT_EQ(update.size(), 1U);
  EXPECT_GT(update[0].window, 500);
  EXPECT_EQ(world.socket.received, bytes_from(0, sent));
}

TEST(TcpFlow, ThreeDuplicatesRepeatOneSegment) {
  FlowWorld world;
  world.open();
  world.host_writes(29200);
  world.settle();
  world.link.take();
  world.acknowledge(1460);
  world.acknowledge(1460);
  world.acknowledge(1460);
  world.settle();
  EXPECT_EQ(payload_of(world.link.take()), 0U);
  world.acknowledge(1460);
  world.settle();
  const auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].sequence, kOurs + 1460);
  EXPECT_EQ(sent[0].payload, bytes_from(1460, 1460));
  // The next hole follows its acknowledgement, and with each more is lost, as it seems.
  world.acknowledge(5840);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).payload, bytes_from(5840, 2920));
  world.acknowledge(8760);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).payload, bytes_from(8760, 5840));
  world.acknowledge(29200);
  world.settle();
  EXPECT_TRUE(world.link.take().empty());
  EXPECT_EQ(world.flow->deadline(), Time::max());
}

// Linux does so when its receive buffer is made smaller: what is on its way finds no room.
TEST(TcpFlow, WhatAGuestTookBackItsOfferForIsSentAgainWhenItReads) {
  FlowWorld world;
  world.open();
  world.host_writes(40000);
  world.settle();
  EXPECT_EQ(payload_of(world.link.take()), 40000U);
  world.acknowledge(0, 0);
  world.settle();
  EXPECT_EQ(payload_of(world.link.take()), 0U);
  world.acknowledge(0, 4000);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).payload, bytes_from(0, 1460));
  // And so on, never more than there is room for.
  world.acknowledge(1460, 4000);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).payload, bytes_from(1460, 2920));
  world.acknowledge(4380, 4000);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).payload, bytes_from(4380, 4000));
  world.acknowledge(40000, 65535);
  world.settle();
  EXPECT_TRUE(world.link.take().empty());
  EXPECT_EQ(world.flow->deadline(), Time::max());
}

TEST(TcpFlow, SilenceIsAnsweredByRepetitionEverMoreRarely) {
  FlowWorld world;
  world.open();
  world.host_writes(5000);
  world.settle();
  world.link.take();
  Duration before{0};
  for (int i = 0; i < 5; ++i) {
    const Time begin = world.now;
    ASSERT_TRUE(world.wait());
    const auto sent = world.link.take();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].payload, bytes_from(0, 1460));
    EXPECT_GE(world.now - begin, before);
    EXPECT_GE(world.now - begin, TcpSender::kTimeoutMin);
    before = world.now - begin;
  }
  while (!world.flow->ended()) ASSERT_TRUE(world.wait());
  EXPECT_EQ(world.flow->state(), TcpFlow::State::reset);
  EXPECT_GE(world.now, std::chrono::seconds(100));
}

TEST(TcpFlow, AClosedWindowIsAskedAboutAndAnOpenOneUsedAtOnce) {
  FlowWorld world;
  world.open();
  world.acknowledge(0, 0);
  world.host_writes(3000);
  world.settle();
  EXPECT_TRUE(world.link.take().empty());
  ASSERT_TRUE(world.wait());
  auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].sequence, kOurs - 1);
  EXPECT_TRUE(sent[0].payload.empty());
  world.acknowledge(0, 65535);
  world.settle();
  EXPECT_EQ(payload_of(world.link.take()), 3000U);
}

TEST(TcpFlow, AClosedWindowIsAskedAboutAtLeastEachSecond) {
  FlowWorld world;
  world.open();
  world.acknowledge(0, 0);
  world.host_writes(3000);
  world.settle();
  for (int i = 0; i < 1000; ++i) {
    const Time begin = world.now;
    ASSERT_TRUE(world.wait());
    ASSERT_LE(world.now - begin, std::chrono::seconds(1));
    ASSERT_EQ(world.link.take().size(), 1U);
    world.acknowledge(0, 0);
    world.settle();
  }
  EXPECT_EQ(world.flow->state(), TcpFlow::State::open);
}

TEST(TcpFlow, NoMoreThanTheWindowIsTakenFromTheSocket) {
  FlowWorld world;
  world.open();
  world.acknowledge(0, 5000);
  world.host_writes(100000);
  world.settle();
  EXPECT_LE(world.socket.given, 5000U);
  EXPECT_GE(world.socket.given, 2U * 1460);
  // A sliver is not worth a segment while something is on its way.
  world.acknowledge(world.socket.given, 100);
  const std::size_t before = world.socket.given;
  world.settle();
  EXPECT_EQ(world.socket.given, before + 100);
  world.acknowledge(before, 300);
  world.settle();
  EXPECT_EQ(world.socket.given, before + 100);
}

TEST(TcpFlow, AFullLinkLeavesTheSocketAlone) {
  FlowWorld world;
  world.open();
  world.link.room = false;
  world.host_writes(3000);
  world.settle();
  EXPECT_EQ(world.socket.given, 0U);
  EXPECT_TRUE(world.flow->blocked());
  world.link.room = true;
  world.settle();
  EXPECT_EQ(payload_of(world.link.take()), 3000U);
  EXPECT_FALSE(world.flow->blocked());
}

struct ResetRow {
  const char* name;
  std::uint32_t sequence;
  bool ends;
  bool answered;
};
class TcpFlowReset : public ::testing::TestWithParam<ResetRow> {};
// RFC 5961 3.2.
INSTANTIATE_TEST_SUITE_P(Table, TcpFlowReset,
                         ::testing::Values(ResetRow{"exact", kGuests, true, false},
                                           ResetRow{"within", kGuests + 10, false, true},
                                           ResetRow{"before", kGuests - 1, false, false},
                                           ResetRow{"beyond", kGuests + 2000000, false, false}),
                         [](const auto& row) { return std::string(row.param.name); });
TEST_P(TcpFlowReset, EndsOnlyWhatItMeans) {
  FlowWorld world;
  world.open();
  world.from_guest({GetParam().sequence, 0, 0, kTcpRst, {}, {}});
  world.settle();
  EXPECT_EQ(world.flow->state() == TcpFlow::State::reset, GetParam().ends);
  EXPECT_EQ(!world.link.take().empty(), GetParam().answered);
}

TEST(TcpFlow, WhatLiesOutsideIsAnsweredAndChangesNothing) {
  FlowWorld world;
  world.open();
  const Wire strange[] = {
      {kGuestFirst, 0, 65535, kTcpSyn, {}, {}},                   // a second SYN
      {kGuests - 1, kOurs, 65535, kTcpAck, {}, {}},               // a probe: keep-alive
      {kGuests + 3000000, kOurs, 65535, kTcpAck, {}, {1, 2, 3}},  // beyond the window
      {kGuests, kOurs + 77, 65535, kTcpAck, {}, {1, 2, 3}},       // of what was not sent
  };
  for (const Wire& segment : strange) {
    world.now += std::chrono::seconds(1);
    world.from_guest(segment);
    world.settle();
    const auto sent = world.link.take();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].flags, kTcpAck);
    EXPECT_EQ(sent[0].acknowledgement, kGuests);
    EXPECT_EQ(sent[0].sequence, kOurs);
  }
  EXPECT_TRUE(world.socket.received.empty());
  EXPECT_EQ(world.flow->state(), TcpFlow::State::open);
}

TEST(TcpFlow, EachDirectionEndsByItself) {
  FlowWorld world;
  world.open();
  world.data(0, 100, kTcpFin);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).acknowledgement, kGuests + 101);
  EXPECT_EQ(world.socket.ends, 1);
  EXPECT_EQ(world.flow->state(), TcpFlow::State::open);
  world.host_writes(500);
  world.settle();
  EXPECT_EQ(payload_of(world.link.take()), 500U);
  world.host_closes();
  world.settle();
  EXPECT_EQ(world.link.take().at(0).flags, kTcpFin | kTcpAck);
  world.from_guest({kGuests + 101, kOurs + 501, 65535, kTcpAck, {}, {}});
  world.settle();
  EXPECT_EQ(world.flow->state(), TcpFlow::State::closed);
  EXPECT_EQ(world.socket.ends, 1);
}

TEST(TcpFlow, TheGuestsEndWaitsForItsLastByte) {
  FlowWorld world;
  world.open();
  world.socket.room = 10;
  world.data(0, 100, kTcpFin);
  world.settle();
  EXPECT_EQ(world.socket.ends, 0);
  world.socket.room = 1000;
  world.flow->writable();
  world.settle();
  EXPECT_EQ(world.socket.ends, 1);
  EXPECT_EQ(world.socket.received, bytes_from(0, 100));
}

TEST(TcpFlow, ALostEndIsRepeated) {
  FlowWorld world;
  world.open();
  world.host_closes();
  world.settle();
  world.link.take();
  ASSERT_TRUE(world.wait());
  const auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].flags, kTcpFin | kTcpAck);
  EXPECT_EQ(sent[0].sequence, kOurs);
}

TEST(TcpFlow, WhatLiesBehindAnUrgentByteIsReadWithoutBeingToldAgain) {
  FlowWorld world;
  world.open();
  world.socket.urgent = 2;
  world.host_writes(5);
  world.settle();
  EXPECT_EQ(world.socket.given, 5U);
}

TEST(TcpFlow, AnErrorOfTheHostIsAReset) {
  for (const bool while_sending : {false, true}) {
    FlowWorld world;
    world.open();
    world.socket.error = ECONNRESET;
    if (while_sending) {
      world.data(0, 10);
    } else {
      world.flow->readable();
    }
    world.settle();
    EXPECT_EQ(world.link.take().back().flags, kTcpRst | kTcpAck);
    EXPECT_EQ(world.flow->state(), TcpFlow::State::failed);
  }
}

TEST(TcpFlow, MemoryIsGivenBack) {
  FlowWorld world;
  world.open();
  world.host_writes(60000);
  for (std::size_t at = 0; at < 60000; at += 1500) world.data(at, 1500);
  world.settle();
  EXPECT_GT(world.memory.used(), 0U);
  EXPECT_GT(world.memory.granted(), 0U);
  world.flow.reset();
  EXPECT_EQ(world.memory.used(), 0U);
  EXPECT_EQ(world.memory.granted(), 0U);
}

}  // namespace
}  // namespace lanyard::testing
