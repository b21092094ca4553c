// SPDX-License-Identifier: MIT
#include "switch/runtime/time_slice.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <thread>

namespace lanyard {
namespace {

// In a thread of its own, for what is asked for stays.
TEST(TimeSliceTest, IsShortFromThenOn) {
  Duration before{0};
  Duration after{0};
  int nice_before = 0;
  int nice_after = 0;
  std::thread([&] {
    before = slice_of_this_thread().value();
    nice_before = ::getpriority(PRIO_PROCESS, 0);
    EXPECT_TRUE(ask_for_short_slices().ok());
    after = slice_of_this_thread().value();
    nice_after = ::getpriority(PRIO_PROCESS, 0);
  }).join();
  EXPECT_EQ(nice_after, nice_before);
  if (before == Duration{0})
    GTEST_SKIP() << "a kernel before 6.12 gives no slices that are asked for";
  EXPECT_EQ(after, kShortSlice);
}

TEST(TimeSliceTest, WhoHasAnotherPolicyKeepsIt) {
  int policy = -1;
  std::thread([&] {
    const sched_param none{};
    ASSERT_EQ(::sched_setscheduler(0, SCHED_IDLE, &none), 0);
    EXPECT_TRUE(ask_for_short_slices().ok());
    policy = ::sched_getscheduler(0);
  }).join();
  EXPECT_EQ(policy, SCHED_IDLE);
}

}  // namespace
}  // namespace lanyard
