// SPDX-License-Identifier: MIT
#include "switch/runtime/wake_moderation.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::microseconds;

// Rounds that come in such a period and carry so many frames each: how many of them were followed
// by a pause.
int pauses(WakeModeration& moderation, int rounds, Duration period, std::size_t frames) {
  Time now = std::chrono::seconds(1);
  int count = 0;
  for (int i = 0; i < rounds; ++i, now += period) {
    count += moderation.round(now, frames) != Duration{0} ? 1 : 0;
  }
  return count;
}

struct Traffic {
  const char* what;
  Duration period;
  std::size_t frames;
  bool paused;
};

constexpr Traffic kTraffic[] = {
    {"a flood, frame by frame", microseconds(3), 1, true},
    {"a flood in batches", microseconds(130), 40, true},
    {"just as fast", microseconds(10), 1, true},
    {"slower than that", microseconds(20), 1, false},
    {"question and answer", microseconds(60), 2, false},
    {"bursts of a connection with a small window", microseconds(1000), 64, false},
    {"wake-ups for something else", microseconds(3), 0, false},
};

TEST(WakeModerationTest, PausesInAFloodOnly) {
  for (const Traffic& traffic : kTraffic) {
    WakeModeration moderation;
    const int count = pauses(moderation, 1000, traffic.period, traffic.frames);
    EXPECT_EQ(count > 900, traffic.paused) << traffic.what;
    EXPECT_EQ(count == 0, !traffic.paused) << traffic.what;
  }
}

TEST(WakeModerationTest, EndsWithTheFlood) {
  WakeModeration moderation;
  ASSERT_GT(pauses(moderation, 1000, microseconds(3), 1), 900);
  const Time later = std::chrono::seconds(2);
  EXPECT_EQ(moderation.round(later, 1), Duration{0});
}

TEST(WakeModerationTest, ARoundWithoutFramesIsNotPausedAfterEvenInAFlood) {
  WakeModeration moderation;
  ASSERT_GT(pauses(moderation, 1000, microseconds(3), 1), 900);
  const Time next = std::chrono::seconds(1) + microseconds(3000);
  EXPECT_EQ(moderation.round(next, 0), Duration{0});
}

}  // namespace
}  // namespace lanyard
