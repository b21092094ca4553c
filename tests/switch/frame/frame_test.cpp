// SPDX-License-Identifier: MIT
#include "switch/frame/frame.h"

#include <gtest/gtest.h>

#include "tests/support/frame_builder.h"
#include "tests/support/memory_endpoint.h"

namespace lanyard {
namespace {

using testing::frame;
using testing::frame_of;
using testing::gathered;
using testing::WireFrame;

TEST(FrameRef, CountsItsOwners) {
  FramePool pool;
  FrameRef first = pool.make();
  EXPECT_TRUE(first.unique());
  {
    const FrameRef second = first.share();
    EXPECT_FALSE(first.unique());
    EXPECT_EQ(&*first, &*second);
  }
  EXPECT_TRUE(first.unique());
}

TEST(FrameRef, MovesWithoutCounting) {
  FramePool pool;
  FrameRef first = pool.make();
  FrameRef second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT: that is what is tested
  EXPECT_TRUE(second.unique());
  FrameRef& same = second;
  second = std::move(same);
  EXPECT_TRUE(second.unique());
}

TEST(FrameRef, GivesTheFrameBackWithItsLastOwner) {
  FramePool pool;
  FrameRef first = pool.make();
  const std::size_t idle = pool.buffers_idle();
  FrameRef second = first.share();
  first = FrameRef();
  EXPECT_EQ(pool.buffers_idle(), idle);
  second = FrameRef();
  EXPECT_EQ(pool.buffers_idle(), idle + 1);
}

TEST(PopTag, TakesTheTagOutAndMovesTheAddressesUp) {
  FramePool pool;
  const FrameRef ref = frame_of(pool, frame().tag(10, 5).payload("hello"));
  const std::uint8_t* const payload = ref->segments[0].data + 18;
  ref->pop_tag();
  EXPECT_EQ(gathered(Outgoing::untagged(ref.share())), frame().payload("hello").wire());
  EXPECT_EQ(ref->segments[0].data + 14, payload) << "the payload has not moved";
  EXPECT_EQ(ref->size, 19U);
}

TEST(PopTag, LeavesAnInnerTagAlone) {
  FramePool pool;
  const FrameRef ref = frame_of(pool, frame().tag(10).tag(20, 3));
  ref->pop_tag();
  EXPECT_EQ(gathered(Outgoing::untagged(ref.share())), frame().tag(20, 3).wire());
}

TEST(PopTag, MovesOffloadDebtsAlong) {
  FramePool pool;
  const FrameRef owing = frame_of(pool, frame().tag(10).size(100));
  owing->offload.needs_checksum = true;
  owing->offload.header_size = 58;
  owing->offload.checksum_start = 38;
  owing->offload.checksum_offset = 16;
  owing->pop_tag();
  EXPECT_EQ(owing->offload.header_size, 54);
  EXPECT_EQ(owing->offload.checksum_start, 34);
  EXPECT_EQ(owing->offload.checksum_offset, 16);

  const FrameRef free = frame_of(pool, frame().tag(10));
  free->pop_tag();
  EXPECT_TRUE(free->offload.owes_nothing());
  EXPECT_EQ(free->offload, Offload{});
}

TEST(Gather, WritesTheFrameAsItIs) {
  FramePool pool;
  const WireFrame wire = frame().size(1514);
  const Outgoing out = Outgoing::untagged(frame_of(pool, wire));
  std::array<iovec, kGatherMax> parts{};
  EXPECT_EQ(gather(out, parts), 1U);
  EXPECT_EQ(gathered(out), wire);
  EXPECT_EQ(out.wire_size(), 1514U);
}

TEST(Gather, PutsTheTagBehindTheAddresses) {
  FramePool pool;
  FrameRef ref = frame_of(pool, frame().payload("hello"));
  ref->vlan = 0xabc;
  ref->priority = 0xb000;  // PCP 5, DEI
  const Outgoing out = Outgoing::with_tag(std::move(ref));
  EXPECT_EQ(gathered(out), frame().tag(0xabc, 5, true).payload("hello").wire());
  EXPECT_EQ(out.wire_size(), 23U);
}

TEST(Gather, WritesATagOnTheShortestFrame) {
  FramePool pool;
  FrameRef ref = frame_of(pool, frame());
  ref->vlan = 7;
  EXPECT_EQ(gathered(Outgoing::with_tag(std::move(ref))), frame().tag(7).wire());
}

TEST(Gather, FollowsAllSegments) {
  FramePool pool;
  WireFrame wire = frame().size(100);
  FrameRef ref = pool.make();
  ref->segments[0] = {wire.bytes.data(), 20};
  ref->segments[1] = {wire.bytes.data() + 20, 30};
  ref->segments[2] = {wire.bytes.data() + 50, 49};
  ref->segments[3] = {wire.bytes.data() + 99, 1};
  ref->segment_count = 4;
  ref->size = 100;
  EXPECT_EQ(gathered(Outgoing::untagged(ref.share())), wire);
  ref->vlan = 7;
  const Outgoing tagged = Outgoing::with_tag(std::move(ref));
  std::array<iovec, kGatherMax> parts{};
  EXPECT_EQ(gather(tagged, parts), kGatherMax);
  EXPECT_EQ(gathered(tagged), frame().tag(7).size(104).wire());
}

TEST(Outgoing, SharesTheBytesBetweenTaggedAndUntaggedReceivers) {
  FramePool pool;
  FrameRef ref = frame_of(pool, frame().payload("once"));
  ref->vlan = 7;
  const Outgoing plain = Outgoing::untagged(ref.share());
  const Outgoing tagged = Outgoing::with_tag(ref.share());
  EXPECT_EQ(gathered(plain), frame().payload("once").wire());
  EXPECT_EQ(gathered(tagged), frame().tag(7).payload("once").wire());
  EXPECT_EQ(gathered(plain), frame().payload("once").wire());
}

TEST(Batch, HoldsSixtyFourAndLetsGoOfThem) {
  FramePool pool;
  const FrameRef ref = pool.make();
  FrameBatch batch;
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.room(), 64U);
  while (batch.room() != 0) batch.push(ref.share());
  EXPECT_EQ(batch.size(), 64U);
  EXPECT_FALSE(ref.unique());
  batch.clear();
  EXPECT_TRUE(batch.empty());
  EXPECT_TRUE(ref.unique());
}

TEST(Batch, IsSeenInOrder) {
  Batch<int> numbers;
  numbers.push(3);
  numbers.push(1);
  numbers.push(2);
  EXPECT_EQ(numbers[1], 1);
  const std::span<int> view = numbers.view();
  EXPECT_EQ(std::vector<int>(view.begin(), view.end()), (std::vector<int>{3, 1, 2}));
  EXPECT_EQ(std::vector<int>(numbers.begin(), numbers.end()), (std::vector<int>{3, 1, 2}));
}

}  // namespace
}  // namespace lanyard
