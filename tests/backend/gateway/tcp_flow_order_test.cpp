// SPDX-License-Identifier: MIT
//
// One connection of the direct TCP engine whose segments do not come in order, in either direction.
#include <gtest/gtest.h>

#include "backend/gateway/tcp_flow.h"
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

std::vector<TcpRange> blocks_of(const Wire& segment) {
  return {segment.sack.blocks().begin(), segment.sack.blocks().end()};
}

TcpFlow::Opening opening_of_selective() {
  auto opening = opening_of();
  opening.options.sack_permitted = true;
  return opening;
}

TEST(TcpFlowOrder, WhatComesEarlyIsKeptAndWhatIsMissingAskedForByRepeatedAcknowledgements) {
  FlowWorld world;
  world.open();
  for (const std::size_t at : {1460U, 2920U, 4380U}) world.data(at, 1460);
  world.settle();
  auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 3U);
  for (const Wire& ack : sent) EXPECT_EQ(ack.acknowledgement, kGuests);
  EXPECT_TRUE(world.socket.received.empty());
  // Repeated and overlapping bytes are taken once.
  world.data(0, 1460);
  world.data(0, 1460);
  world.data(1000, 1460);
  world.settle();
  EXPECT_EQ(world.socket.received, bytes_from(0, 5840));
  EXPECT_EQ(world.link.take().back().acknowledgement, kGuests + 5840);
}

TEST(TcpFlowOrder, WhatComesEarlyIsToldToAGuestThatKnowsHow) {
  FlowWorld world(opening_of_selective());
  world.open();
  world.data(1460, 1460);
  world.data(4380, 1460);
  world.data(5840, 100);
  world.settle();
  auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].acknowledgement, kGuests);
  const TcpRange first{kGuests + 1460, kGuests + 2920};
  const TcpRange second{kGuests + 4380, kGuests + 5940};
  EXPECT_EQ(blocks_of(sent[0]), (std::vector{first, second}));
  // What came twice is told first, and once (RFC 2883 4).
  world.data(1460, 1460);
  world.data(0, 1460);
  world.data(0, 1460);
  world.settle();
  sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].acknowledgement, kGuests + 2920);
  EXPECT_EQ(blocks_of(sent[0]), (std::vector{TcpRange{kGuests, kGuests + 1460}, second}));
  world.data(2920, 1460);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).acknowledgement, kGuests + 5940);
  EXPECT_EQ(world.socket.received, bytes_from(0, 5940));
}

// A guest that has asked for data as well gets the same acknowledgement with every segment; that
// alone would not say that something is missing.
TEST(TcpFlowOrder, WhatIsMissingIsAskedForAlsoWhileDataIsSent) {
  FlowWorld world;
  world.open();
  world.host_writes(5000);
  for (const std::size_t at : {1460U, 2920U, 4380U}) world.data(at, 1460);
  world.settle();
  std::size_t bare = 0;
  for (const Wire& wire : world.link.take()) bare += wire.payload.empty() ? 1U : 0U;
  EXPECT_EQ(bare, 3U);
}

TEST(TcpFlowOrder, AnEndThatComesEarlyIsKept) {
  FlowWorld world;
  world.open();
  world.data(100, 50, kTcpFin);
  world.settle();
  EXPECT_EQ(world.socket.ends, 0);
  world.link.take();
  world.data(0, 100);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).acknowledgement, kGuests + 151);
  EXPECT_EQ(world.socket.received, bytes_from(0, 150));
  EXPECT_EQ(world.socket.ends, 1);
}

TEST(TcpFlowOrder, OnlyWhatAGuestHasNotToldOfIsSentAgain) {
  FlowWorld world(opening_of_selective());
  world.open();
  world.host_writes(14600);
  world.settle();
  world.link.take();
  const auto told = [](std::size_t begin, std::size_t end) {
    return TcpRange{kOurs + static_cast<std::uint32_t>(begin),
                    kOurs + static_cast<std::uint32_t>(end)};
  };
  world.acknowledge_selectively(0, {told(1460, 2920), told(4380, 5840)});
  world.settle();
  EXPECT_EQ(payload_of(world.link.take()), 0U);
  world.acknowledge_selectively(0, {told(1460, 2920), told(4380, 8760)});
  world.settle();
  auto sent = world.link.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].payload, bytes_from(0, 1460));
  world.acknowledge_selectively(2920, {told(4380, 10220), told(13140, 14600)});
  world.settle();
  sent = world.link.take();
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(sent[0].payload, bytes_from(2920, 1460));
  EXPECT_EQ(sent[1].payload, bytes_from(10220, 1460));
  // After a silence everything that is not acknowledged may be missing.
  ASSERT_TRUE(world.wait());
  EXPECT_EQ(world.link.take().at(0).payload, bytes_from(2920, 1460));
  world.acknowledge(4380);
  world.settle();
  EXPECT_EQ(world.link.take().at(0).payload, bytes_from(4380, 2920));
}

}  // namespace
}  // namespace lanyard::testing
