// SPDX-License-Identifier: MIT
#include "switch/base/time.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Time, NeverRunsBackwards) {
  Time before = monotonic_now();
  EXPECT_GT(before.count(), 0);
  for (int i = 0; i < 1000; ++i) {
    const Time now = monotonic_now();
    EXPECT_GE(now, before);
    before = now;
  }
}

TEST(Time, HasWholeSecondsThatAreNotRoundedUp) {
  EXPECT_EQ(whole_seconds(Time{0}), 0U);
  EXPECT_EQ(whole_seconds(milliseconds(999)), 0U);
  EXPECT_EQ(whole_seconds(seconds(7) + milliseconds(1)), 7U);
}

}  // namespace
}  // namespace lanyard
