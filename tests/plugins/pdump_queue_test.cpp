// SPDX-License-Identifier: MIT
//
// The queue between who captures and who writes.
#include "plugins/pdump_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <span>
#include <thread>

namespace pdump {
namespace {

constexpr std::size_t kChunk = RecordQueue::kChunk;
constexpr std::size_t kSize = 8 * kChunk;

bool put(RecordQueue& queue, std::size_t size, std::uint8_t value) {
  std::uint8_t* const place = queue.reserve(size);
  if (place == nullptr) return false;
  std::memset(place, value, size);
  queue.publish();
  return true;
}

// Takes all that is there; how much, or 0 when a byte is not the value that it should be.
std::size_t take_all(RecordQueue& queue, std::uint8_t value) {
  std::size_t taken = 0;
  while (queue.ready() != 0) {
    const std::span<const std::uint8_t> bytes = queue.front();
    if (std::any_of(bytes.begin(), bytes.end(), [value](auto byte) { return byte != value; })) {
      return 0;
    }
    taken += bytes.size();
    queue.take(bytes.size());
  }
  return taken;
}

TEST(PdumpQueue, UsesTwoChunksWhileItIsEmptied) {
  RecordQueue queue(kSize);
  std::set<std::size_t> chunks;
  const std::uint8_t* const start = queue.reserve(1);
  *const_cast<std::uint8_t*>(start) = 1;
  queue.publish();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(put(queue, 100'000, 1));
    ASSERT_TRUE(put(queue, 30'000, 1));  // is there when the rest is taken
    const std::span<const std::uint8_t> bytes = queue.front();
    chunks.insert(static_cast<std::size_t>(bytes.data() - start) / kChunk);
    queue.take(bytes.size());
  }
  EXPECT_LE(chunks.size(), 2U);
}

TEST(PdumpQueue, UsesAllOfItInABurstAndThenAgain) {
  RecordQueue queue(kSize);
  for (std::uint8_t round = 1; round < 4; ++round) {
    std::size_t size = 0;
    while (put(queue, 1000, round)) size += 1000;
    // Where the round before ended, a chunk may be almost full.
    EXPECT_GT(size, kSize - kChunk - 9 * 1000);
    EXPECT_EQ(queue.waiting(), size);
    EXPECT_EQ(take_all(queue, round), size);
    EXPECT_EQ(queue.waiting(), 0U);
  }
}

TEST(PdumpQueue, ShowsNothingBeforeItIsPublished) {
  RecordQueue queue(kSize);
  ASSERT_NE(queue.reserve(kChunk - 10), nullptr);
  ASSERT_NE(queue.reserve(100), nullptr);  // begins a chunk
  EXPECT_EQ(queue.ready(), 0U);
  EXPECT_TRUE(queue.front().empty());
  queue.publish();
  EXPECT_EQ(queue.front().size(), kChunk - 10);
  queue.take(kChunk - 10);
  EXPECT_EQ(queue.front().size(), 100U);
}

TEST(PdumpQueue, HasNoRoomForWhatIsLongerThanAChunk) {
  RecordQueue queue(1);
  EXPECT_EQ(queue.reserve(kChunk + 1), nullptr);
  EXPECT_NE(queue.reserve(kChunk), nullptr);
  EXPECT_NE(queue.reserve(1), nullptr);  // there are two whatever was asked for
  EXPECT_EQ(queue.reserve(kChunk), nullptr);
}

TEST(PdumpQueue, WhatWasPutIsThereStillWhenMemoryIsWarmed) {
  RecordQueue queue(kSize);
  ASSERT_TRUE(put(queue, 1000, 7));
  queue.warm();
  EXPECT_EQ(take_all(queue, 7), 1000U);
}

// Of all sizes, so that chunks end everywhere; sometimes with a queue full, sometimes empty.
TEST(PdumpQueue, WhatIsTakenIsWhatWasPut) {
  constexpr std::size_t kRecords = 20'000;
  const auto size_of = [](std::size_t record) { return 16 + record * 7919 % 3000; };
  RecordQueue queue(kSize);
  std::size_t total = 0;
  for (std::size_t i = 0; i < kRecords; ++i) total += size_of(i);
  std::thread filler([&] {
    std::uint8_t next = 0;
    for (std::size_t i = 0; i < kRecords; ++i) {
      std::uint8_t* place = nullptr;
      while ((place = queue.reserve(size_of(i))) == nullptr) std::this_thread::yield();
      for (std::size_t j = 0; j < size_of(i); ++j) place[j] = next++;
      if (i % 3 == 0 || i + 1 == kRecords || queue.waiting() > kSize / 2) queue.publish();
    }
  });
  std::size_t taken = 0;
  bool right = true;
  while (taken < total) {
    const std::span<const std::uint8_t> bytes = queue.front();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      right = right && bytes[i] == static_cast<std::uint8_t>(taken + i);
    }
    queue.take(bytes.size());
    taken += bytes.size();
  }
  filler.join();
  EXPECT_TRUE(right);
}

}  // namespace
}  // namespace pdump
