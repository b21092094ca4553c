// SPDX-License-Identifier: MIT
//
// What a guest tells that it has, against a list of which bytes it told of.
#include "backend/gateway/tcp_scoreboard.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/gateway/nat_packet.h"
#include "tests/support/random.h"

namespace lanyard::testing {
namespace {

constexpr std::uint32_t kFirst = 0xfffffc00;  // so that numbers wrap
constexpr std::uint32_t kFlight = 3000;

TEST(TcpScoreboard, KnowsWhatIsMissing) {
  Random random;
  for (int round = 0; round < 300; ++round) {
    TcpScoreboard board;
    std::vector<bool> has(kFlight);
    std::uint32_t acknowledged = 0;
    for (int i = 0; i < 40; ++i) {
      const auto begin =
          acknowledged + 1 + static_cast<std::uint32_t>(random.below(kFlight - acknowledged - 1));
      const auto end = std::min(kFlight, begin + 1 + static_cast<std::uint32_t>(random.below(200)));
      const bool is_new =
          std::find(has.begin() + begin, has.begin() + end, false) != has.begin() + end;
      ASSERT_EQ(
          board.add({kFirst + begin, kFirst + end}, {kFirst + acknowledged, kFirst + kFlight}),
          is_new);
      std::fill(has.begin() + begin, has.begin() + end, true);
      if (random.one_in(5)) {
        acknowledged += static_cast<std::uint32_t>(random.below(100));
        if (acknowledged + 2 > kFlight) break;
        board.release(kFirst + acknowledged);
      }
      ASSERT_EQ(board.bytes(), std::count(has.begin() + acknowledged, has.end(), true));
      const auto missing = std::find(has.begin() + acknowledged, has.end(), false);
      const auto gap = board.missing({kFirst + acknowledged, kFirst + kFlight});
      ASSERT_EQ(gap.has_value(), missing != has.end());
      if (!gap) continue;
      const auto gap_end = std::find(missing, has.end(), true);
      ASSERT_EQ(gap->begin - kFirst, missing - has.begin()) << random.how_to_repeat();
      ASSERT_EQ(gap->end - kFirst, gap_end - has.begin()) << random.how_to_repeat();
    }
  }
}

TEST(TcpScoreboard, WhatIsNotInFlightMeansNothing) {
  TcpScoreboard board;
  const TcpRange flight{kFirst, kFirst + kFlight};
  const TcpRange strange[] = {
      {kFirst, kFirst + 10},                // it would be acknowledged
      {kFirst - 10, kFirst - 5},            // came twice
      {kFirst + 10, kFirst + 10},           // nothing
      {kFirst + 20, kFirst + 10},           // less than nothing
      {kFirst + 10, kFirst + kFlight + 1},  // never sent
      {kFirst + kFlight + 5, kFirst + kFlight + 9},
  };
  for (const TcpRange& block : strange) EXPECT_FALSE(board.add(block, flight));
  EXPECT_TRUE(board.empty());
}

TEST(TcpScoreboard, ManyRangesAreNotAllRemembered) {
  TcpScoreboard board;
  const TcpRange flight{kFirst, kFirst + 100'000};
  for (std::uint32_t i = 1; i <= TcpScoreboard::kRangesMax; ++i) {
    ASSERT_TRUE(board.add({kFirst + 100 * i, kFirst + 100 * i + 1}, flight));
  }
  EXPECT_FALSE(board.add({kFirst + 90'000, kFirst + 90'001}, flight));
  EXPECT_EQ(board.bytes(), TcpScoreboard::kRangesMax);
}

}  // namespace
}  // namespace lanyard::testing
