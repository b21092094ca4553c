// SPDX-License-Identifier: MIT
#include "switch/runtime/busy_poll.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration kNever{0};
constexpr std::uint32_t kLookUs = 50;
constexpr Duration kLook = microseconds(kLookUs);

BusyPoll after_waits(int count, Duration wait) {
  BusyPoll poll = BusyPoll::of_microseconds(kLookUs);
  for (int i = 0; i < count; ++i) poll.waited(wait);
  return poll;
}

TEST(BusyPollTest, SleepsAtOnceUntilWaitsHaveBeenShort) {
  EXPECT_EQ(after_waits(0, kNever).look(), kNever);
  EXPECT_EQ(after_waits(1, microseconds(20)).look(), kNever);
  EXPECT_EQ(after_waits(10, microseconds(20)).look(), kLook);
  EXPECT_EQ(after_waits(10, milliseconds(20)).look(), kNever);
}

TEST(BusyPollTest, ALookInVainCostsItsRight) {
  BusyPoll poll = after_waits(1000, microseconds(20));
  int looks = 0;
  for (; poll.look() != kNever; ++looks) poll.waited(milliseconds(1));
  EXPECT_LE(looks, 4);
}

TEST(BusyPollTest, SteadyTrafficWithLongerPausesIsNotLookedFor) {
  BusyPoll poll = after_waits(1000, microseconds(20));
  int looks = 0;
  for (int i = 0; i < 1000; ++i) {
    looks += poll.look() != kNever ? 1 : 0;
    poll.waited(i % 3 == 0 ? microseconds(20) : microseconds(100));
  }
  EXPECT_LT(looks, 10);
}

TEST(BusyPollTest, BulkMakesBatchesInstead) {
  BusyPoll poll = after_waits(10, microseconds(20));
  poll.carried(3);
  EXPECT_EQ(poll.look(), kNever);
  poll.carried(1);
  EXPECT_EQ(poll.look(), kLook);
}

TEST(BusyPollTest, ZeroIsNever) {
  BusyPoll poll;
  for (int i = 0; i < 100; ++i) poll.waited(kNever);
  EXPECT_EQ(poll.look(), kNever);
  EXPECT_FALSE(poll.enabled());
}

}  // namespace
}  // namespace lanyard
