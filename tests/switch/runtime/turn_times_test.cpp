// SPDX-License-Identifier: MIT
#include "switch/runtime/turn_times.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::microseconds;

TEST(TurnTimesTest, KnowsNothingAtFirst) {
  const TurnTimes times;
  EXPECT_EQ(times.turns(), 0U);
  EXPECT_EQ(times.longest_us(), 0U);
  EXPECT_EQ(times.quantile_us(0.99), 0U);
}

TEST(TurnTimesTest, TellsWhatAShareOfThemDidNotExceed) {
  TurnTimes times;
  for (int us = 1; us <= 10'000; ++us) times.add(microseconds(us));
  EXPECT_EQ(times.turns(), 10'000U);
  EXPECT_EQ(times.longest_us(), 10'000U);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.9999}) {
    const auto exact = static_cast<std::uint64_t>(share * 10'000);
    EXPECT_GE(times.quantile_us(share), exact);
    EXPECT_LE(times.quantile_us(share), exact + exact / 4) << share;
  }
}

TEST(TurnTimesTest, AFewLongOnesAreSeenOnlyAtTheEnd) {
  TurnTimes times;
  for (int i = 0; i < 99'999; ++i) times.add(microseconds(7));
  times.add(std::chrono::milliseconds(3));
  EXPECT_EQ(times.quantile_us(0.9999), 7U);
  EXPECT_EQ(times.longest_us(), 3'000U);
  EXPECT_EQ(times.quantile_us(1), 3'000U);
}

TEST(TurnTimesTest, TakesWhatIsBeyondAllMeasure) {
  TurnTimes times;
  times.add(std::chrono::hours(1000));
  times.add(Duration{-1});
  times.add(Duration{999});
  EXPECT_EQ(times.turns(), 3U);
  EXPECT_EQ(times.quantile_us(0.5), 0U) << "less than a microsecond, or a clock set back";
  EXPECT_EQ(times.longest_us(), 3'600'000'000'000U);
}

}  // namespace
}  // namespace lanyard
