// SPDX-License-Identifier: MIT
#include "switch/base/log.h"

#include <gtest/gtest.h>

#include "tests/support/fake_log.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using testing::FakeLog;

TEST(Log, FormatsItsLines) {
  FakeLog log;
  log.error("port {} of {}", 3, "lab");
  log.warning("w");
  log.notice("n");
  log.info("i");
  ASSERT_EQ(log.lines.size(), 4U);
  EXPECT_EQ(log.lines[0].text, "port 3 of lab");
  EXPECT_EQ(log.lines[0].level, LogLevel::error);
  EXPECT_EQ(log.lines[1].level, LogLevel::warning);
  EXPECT_EQ(log.lines[2].level, LogLevel::notice);
  EXPECT_EQ(log.lines[3].level, LogLevel::info);
}

TEST(RateLimit, LetsABurstThroughAndCountsTheRest) {
  RateLimit limit(2, seconds(10));
  EXPECT_TRUE(limit.allow(seconds(100)));
  EXPECT_TRUE(limit.allow(seconds(101)));
  EXPECT_FALSE(limit.allow(seconds(102)));
  EXPECT_FALSE(limit.allow(seconds(109)));
  EXPECT_EQ(limit.take_suppressed(), 2U);
  EXPECT_EQ(limit.take_suppressed(), 0U);
}

TEST(RateLimit, StartsOverAfterItsWindow) {
  RateLimit limit(1, seconds(10));
  EXPECT_TRUE(limit.allow(seconds(100)));
  EXPECT_FALSE(limit.allow(seconds(109)));
  EXPECT_TRUE(limit.allow(seconds(110)));
  EXPECT_EQ(limit.take_suppressed(), 1U);
}

TEST(RateLimit, AllowsTheFirstLineOfAMachineThatHasJustStarted) {
  RateLimit limit(1, seconds(10));
  EXPECT_TRUE(limit.allow(seconds(0)));
}

}  // namespace
}  // namespace lanyard
