// SPDX-License-Identifier: MIT
//
// The ring between who captures and who writes.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "plugins/pdump_writer.h"

namespace pdump {
namespace {

constexpr std::size_t kSize = std::size_t{2} << 20;

std::vector<std::uint8_t> block(std::size_t size, std::uint8_t value) {
  return std::vector<std::uint8_t>(size, value);
}

// Takes all that is there; false when a byte is not the value that it should be.
bool take_all(Ring& ring, std::uint8_t value) {
  const std::size_t size = ring.ready();
  bool right = true;
  for (const iovec& piece : ring.pieces(size)) {
    const auto* const bytes = static_cast<const std::uint8_t*>(piece.iov_base);
    right = right && std::all_of(bytes, bytes + piece.iov_len,
                                 [value](std::uint8_t byte) { return byte == value; });
  }
  ring.take(size);
  return right;
}

TEST(PdumpRing, UsesItsBeginningWhileItIsKeptEmpty) {
  Ring ring(kSize);
  const std::vector<std::uint8_t> data = block(100'000, 1);
  const void* last = nullptr;
  for (int i = 0; i < 1000; ++i) {
    ring.begin_batch();
    ring.put(data.data(), data.size());
    ring.publish();
    last = std::max(last, static_cast<const void*>(ring.pieces(ring.ready())[0].iov_base));
    ASSERT_TRUE(take_all(ring, 1));
  }
  const void* const first = ring.pieces(0)[1].iov_base;
  EXPECT_LT(static_cast<const std::uint8_t*>(last) - static_cast<const std::uint8_t*>(first),
            700'000);
}

TEST(PdumpRing, UsesAllOfItInABurst) {
  Ring ring(kSize);
  const std::vector<std::uint8_t> data = block(1000, 2);
  std::size_t put = 0;
  while (ring.room() >= data.size()) {
    ring.begin_batch();
    ring.put(data.data(), data.size());
    ring.publish();
    put += data.size();
  }
  EXPECT_GT(put, kSize - data.size());
  EXPECT_EQ(ring.ready(), put);
  EXPECT_TRUE(take_all(ring, 2));
  EXPECT_EQ(ring.room(), kSize);
}

// Batches of all sizes, so that it begins again at every place, and wraps.
TEST(PdumpRing, WhatIsTakenIsWhatWasPut) {
  constexpr std::size_t kBatches = 20'000;
  Ring ring(kSize);
  std::size_t total = 0;
  for (std::size_t i = 0; i < kBatches; ++i) total += 16 + i * 7919 % 3000;
  std::thread writer([&] {
    std::uint8_t next = 0;
    for (std::size_t i = 0; i < kBatches; ++i) {
      std::vector<std::uint8_t> data(16 + i * 7919 % 3000);
      for (std::uint8_t& byte : data) byte = next++;
      while (ring.room() < data.size()) std::this_thread::yield();
      ring.begin_batch();
      ring.put(data.data(), data.size());
      ring.publish();
    }
  });
  std::size_t taken = 0;
  bool right = true;
  while (taken < total) {
    const std::size_t size = ring.ready();
    std::size_t at = 0;
    for (const iovec& piece : ring.pieces(size)) {
      for (std::size_t i = 0; i < piece.iov_len; ++i, ++at) {
        right = right && static_cast<const std::uint8_t*>(piece.iov_base)[i] ==
                             static_cast<std::uint8_t>(taken + at);
      }
    }
    ring.take(size);
    taken += size;
  }
  writer.join();
  EXPECT_TRUE(right);
}

}  // namespace
}  // namespace pdump
