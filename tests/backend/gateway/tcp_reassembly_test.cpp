// SPDX-License-Identifier: MIT
//
// What comes too early, against a list of which bytes have come.
#include "backend/gateway/tcp_reassembly.h"

#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/support/tcp_flow_world.h"

namespace lanyard::testing {
namespace {

constexpr std::uint32_t kFirst = 0xfffffff0;  // so that numbers wrap
constexpr std::size_t kStream = 4000;

TEST(TcpReassembly, HoldsWhatHasComeAndGivesItInOrder) {
  Random random;
  for (int round = 0; round < 300; ++round) {
    TcpReassembly held;
    std::vector<bool> has(kStream);
    for (std::uint64_t segments = 1 + random.below(60); segments != 0; --segments) {
      const std::size_t begin = random.below(kStream);
      const std::size_t count = std::min<std::size_t>(random.below(300), kStream - begin);
      ASSERT_TRUE(held.add(kFirst + static_cast<std::uint32_t>(begin), bytes_from(begin, count)));
      std::fill_n(has.begin() + static_cast<std::ptrdiff_t>(begin), count, true);
    }
    ASSERT_EQ(held.bytes(), static_cast<std::size_t>(std::count(has.begin(), has.end(), true)));
    std::uint32_t next = kFirst;
    while (!held.empty()) {
      const std::size_t place = next - kFirst;
      const auto piece = held.take(next);
      ASSERT_EQ(piece.has_value(), bool{has[place]}) << random.how_to_repeat();
      if (!piece) {
        ++next;
        continue;
      }
      ASSERT_EQ(piece->begin, next);
      ASSERT_EQ(piece->bytes, bytes_from(place, piece->bytes.size()));
      next = piece->end();
    }
    ASSERT_EQ(held.bytes(), 0U);
  }
}

TEST(TcpReassembly, TellsEverythingInAsFewAcknowledgementsAsItSays) {
  TcpReassembly held;
  for (std::uint32_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(held.add(kFirst + 100 * i, bytes_from(0, 50)));
  }
  EXPECT_EQ(held.acknowledgements(), 3U);
  std::vector<TcpRange> told;
  for (int i = 0; i < 3; ++i) {
    TcpSack sack;
    held.tell(sack);
    EXPECT_TRUE(sack.full());
    told.insert(told.end(), sack.blocks().begin(), sack.blocks().end());
  }
  EXPECT_EQ(held.acknowledgements(), 0U);
  for (std::uint32_t i = 0; i < 10; ++i) {
    const TcpRange block{kFirst + 100 * i, kFirst + 100 * i + 50};
    EXPECT_NE(std::find(told.begin(), told.end(), block), told.end()) << i;
  }
  // What touches is one block, and new again.
  ASSERT_TRUE(held.add(kFirst + 50, bytes_from(0, 50)));
  EXPECT_EQ(held.acknowledgements(), 1U);
  TcpSack sack;
  held.tell(sack);
  EXPECT_EQ(sack.blocks()[0], (TcpRange{kFirst, kFirst + 150}));
}

TEST(TcpReassembly, AGuestCannotMakeItHoldAnyNumberOfPieces) {
  TcpReassembly held;
  const std::uint8_t byte = 1;
  for (std::uint32_t i = 0; i < TcpReassembly::kPiecesMax; ++i) {
    ASSERT_TRUE(held.add(kFirst + 2 * i, {&byte, 1}));
  }
  EXPECT_FALSE(held.add(kFirst + 10000, {&byte, 1}));
  EXPECT_EQ(held.bytes(), TcpReassembly::kPiecesMax);
}

}  // namespace
}  // namespace lanyard::testing
