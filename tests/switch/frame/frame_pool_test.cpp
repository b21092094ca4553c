// SPDX-License-Identifier: MIT
#include "switch/frame/frame_pool.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <set>

namespace lanyard {
namespace {

// Pages of memory that are resident from `data` on.
std::size_t resident_pages(const std::uint8_t* data, std::size_t size) {
  constexpr std::uintptr_t kPage = 4096;
  const auto first = reinterpret_cast<std::uintptr_t>(data) / kPage * kPage;
  const auto end = reinterpret_cast<std::uintptr_t>(data) + size;
  std::vector<unsigned char> state((end - first + kPage - 1) / kPage);
  EXPECT_EQ(::mincore(reinterpret_cast<void*>(first), end - first, state.data()), 0);
  std::size_t count = 0;
  for (const unsigned char page : state) count += page & 1U;
  return count;
}

TEST(FramePool, MakesEmptyFramesThatHoldTheLongest) {
  FramePool pool;
  const FrameRef frame = pool.make();
  EXPECT_TRUE(frame.unique());
  EXPECT_EQ(frame->size, 0U);
  EXPECT_EQ(frame->segment_count, 1);
  EXPECT_GE(frame->buffer->capacity, kMaxFrameSize);
  std::memset(frame->segments[0].data, 0x55, kMaxFrameSize);
}

TEST(FramePool, GivesEveryFrameItsOwnBytes) {
  FramePool pool;
  std::vector<FrameRef> frames;
  for (std::size_t i = 0; i < 600; ++i) {
    frames.push_back(pool.make());
    std::memset(frames.back()->segments[0].data, static_cast<int>(i), kMaxFrameSize);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const std::uint8_t* const data = frames[i]->segments[0].data;
    EXPECT_EQ(data[0], static_cast<std::uint8_t>(i));
    EXPECT_EQ(data[kMaxFrameSize - 1], static_cast<std::uint8_t>(i));
  }
}

TEST(FramePool, UsesItsBuffersAgain) {
  FramePool pool;
  const std::uint8_t* const first = pool.make()->segments[0].data;
  EXPECT_EQ(pool.make()->segments[0].data, first);
  const std::size_t total = pool.buffers_total();
  for (int i = 0; i < 10000; ++i) pool.make();
  EXPECT_EQ(pool.buffers_total(), total);
  EXPECT_EQ(pool.buffers_idle(), total);
}

TEST(FramePool, GrowsAndDoesNotGrowAgain) {
  FramePool pool;
  for (int round = 0; round < 3; ++round) {
    std::vector<FrameRef> frames;
    for (int i = 0; i < 1000; ++i) frames.push_back(pool.make());
    EXPECT_EQ(pool.buffers_total(), 1024U);
    EXPECT_EQ(pool.buffers_idle(), 24U);
  }
  EXPECT_EQ(pool.buffers_idle(), 1024U);
}

TEST(FramePool, MakesFramesThatRememberNothing) {
  FramePool pool;
  {
    const FrameRef used = pool.make();
    used->truncated = true;
    used->priority = 0xe000;
    used->vlan = 7;
    used->offload.needs_checksum = true;
    used->segment_count = 3;
    used->size = 1000;
  }
  const FrameRef fresh = pool.make();
  EXPECT_FALSE(fresh->truncated);
  EXPECT_EQ(fresh->priority, 0);
  EXPECT_EQ(fresh->vlan, 0);
  EXPECT_EQ(fresh->offload, Offload{});
  EXPECT_EQ(fresh->segment_count, 1);
  EXPECT_EQ(fresh->size, 0U);
}

TEST(FramePool, BorrowsBytesOfOthers) {
  FramePool pool;
  std::uint8_t bytes[60] = {1, 2, 3};
  {
    const FrameRef borrowed = pool.borrow(bytes, sizeof bytes);
    EXPECT_EQ(borrowed->segments[0].data, bytes);
    EXPECT_EQ(borrowed->size, 60U);
    EXPECT_EQ(borrowed->buffer, nullptr);
    EXPECT_TRUE(borrowed.unique());
  }
  EXPECT_EQ(pool.buffers_total(), 0U) << "no buffer was made for it";
  EXPECT_NE(pool.make()->buffer, nullptr) << "and a later frame has one of its own";
}

TEST(FramePool, RunsTheOwnersFunctionForForeignBuffers) {
  FramePool pool;
  std::uint8_t bytes[60] = {};
  int returned = 0;
  Buffer buffer;
  buffer.data = bytes;
  buffer.capacity = sizeof bytes;
  buffer.refs = 2;
  buffer.owner = &returned;
  buffer.done = [](Buffer*, void* owner) { ++*static_cast<int*>(owner); };
  FrameRef first = pool.borrow(bytes, 30);
  FrameRef second = pool.borrow(bytes + 30, 30);
  first->buffer = second->buffer = &buffer;
  first = FrameRef();
  EXPECT_EQ(returned, 0);
  second = FrameRef();
  EXPECT_EQ(returned, 1);
}

TEST(FramePool, LeavesTheMemoryOfSmallFramesUntouched) {
  FramePool pool;
  const FrameRef frame = pool.make();
  std::memset(frame->segments[0].data, 0x55, 1514);
  EXPECT_EQ(resident_pages(frame->segments[0].data, kMaxFrameSize), 1U);
}

TEST(FramePool, TrimsWhatLongFramesLeftResident) {
  FramePool pool;
  const std::uint8_t* data = nullptr;
  {
    const FrameRef frame = pool.make();
    data = frame->segments[0].data;
    std::memset(frame->segments[0].data, 0x55, kMaxFrameSize);
    frame->set_bytes(frame->segments[0].data, kMaxFrameSize);
  }
  EXPECT_GT(resident_pages(data, kMaxFrameSize), 16U);
  pool.trim();
  EXPECT_EQ(resident_pages(data, kMaxFrameSize), 1U);
  const FrameRef again = pool.make();
  ASSERT_EQ(again->segments[0].data, data);
  std::memset(again->segments[0].data, 0x66, kMaxFrameSize);
}

TEST(FramePool, TrimsWhatAPoppedTagShortened) {
  // A tagged frame of one page and a bit ends, without its tag, just before the page's end.
  FramePool pool;
  const std::uint8_t* data = nullptr;
  {
    const FrameRef frame = pool.make();
    data = frame->segments[0].data;
    std::memset(frame->segments[0].data, 0x55, 9000);
    frame->set_bytes(frame->segments[0].data, 9000);
    frame->pop_tag();
  }
  pool.trim();
  EXPECT_EQ(resident_pages(data, kMaxFrameSize), 1U);
}

TEST(FramePool, DoesNotTrimWhatIsInUse) {
  FramePool pool;
  const FrameRef frame = pool.make();
  std::memset(frame->segments[0].data, 0x55, kMaxFrameSize);
  pool.trim();
  EXPECT_EQ(frame->segments[0].data[kMaxFrameSize - 1], 0x55);
}

}  // namespace
}  // namespace lanyard
