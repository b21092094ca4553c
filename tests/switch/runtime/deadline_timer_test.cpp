// SPDX-License-Identifier: MIT
#include "switch/runtime/deadline_timer.h"

#include <gtest/gtest.h>

#include <new>
#include <vector>

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class DeadlineTimerTest : public ::testing::Test {
 protected:
  void follow_after(Duration delay) { timer.follow(loop->now() + delay, loop->now()); }
  void run_until_called(std::size_t times) {
    for (int turns = 0; calls.size() < times && turns < 100; ++turns) loop->run_once(false);
    ASSERT_EQ(calls.size(), times);
  }

  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  std::vector<Time> calls;
  std::function<void()> work = [this] { timer.follow(Time::max(), loop->now()); };
  DeadlineTimer timer{*loop, [this] {
                        calls.push_back(loop->now());
                        work();
                      }};
};

TEST_F(DeadlineTimerTest, IsDueAtTheDeadlineAndThenNoMore) {
  const Time deadline = loop->now() + milliseconds(2);
  follow_after(milliseconds(2));
  EXPECT_EQ(timer.deadline(), deadline);
  run_until_called(1);
  EXPECT_GE(calls[0], deadline);
  EXPECT_EQ(timer.deadline(), Time::max());
}

TEST_F(DeadlineTimerTest, FollowsADeadlineThatComesNearer) {
  follow_after(hours(1));
  follow_after(milliseconds(1));
  run_until_called(1);
}

TEST_F(DeadlineTimerTest, IsDueAtOnceForADeadlineThatHasPassed) {
  follow_after(-hours(1));
  loop->run_once(false);
  EXPECT_EQ(calls.size(), 1U);
}

TEST_F(DeadlineTimerTest, NeverIsNoDeadline) {
  follow_after(milliseconds(1));
  timer.follow(Time::max(), loop->now());
  const EventLoop::Timer other = loop->every(milliseconds(1), [] {});
  for (int turns = 0; turns < 5; ++turns) loop->run_once(false);
  EXPECT_TRUE(calls.empty());
}

TEST_F(DeadlineTimerTest, WorkThatFindsNoMemoryIsCalledAgain) {
  work = [this] {
    if (calls.size() < 3) throw std::bad_alloc();
    timer.follow(Time::max(), loop->now());
  };
  follow_after(Duration{0});
  run_until_called(3);
  EXPECT_EQ(loop->given_up(), 2U);
  EXPECT_GE(calls[2] - calls[0], 2 * DeadlineTimer::kRetryPause);
  EXPECT_EQ(timer.deadline(), Time::max());
}

TEST_F(DeadlineTimerTest, EverythingIsLaterThanWhatIsUnderWay) {
  Time under_way = Time::max();
  work = [&] {
    under_way = timer.deadline();
    timer.follow(Time::max(), loop->now());
  };
  follow_after(Duration{0});
  run_until_called(1);
  EXPECT_LT(under_way, Time{0});
}

}  // namespace
}  // namespace lanyard
