// SPDX-License-Identifier: MIT
#include "switch/daemon/keeper_watch.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Need = KeeperWatch::Need;

constexpr Time kStart = std::chrono::hours(1);

TEST(KeeperWatch, SilenceIsAnsweredByReadingAndThenByKilling) {
  KeeperWatch watch;
  watch.hear(kStart, milliseconds(30));
  const struct {
    Duration silent;
    Need need;
  } rows[] = {
      {milliseconds(0), Need::nothing},  {milliseconds(60), Need::nothing},
      {milliseconds(89), Need::nothing}, {milliseconds(90), Need::drain},
      {milliseconds(4999), Need::drain}, {milliseconds(5000), Need::kill},
  };
  for (const auto& row : rows) EXPECT_EQ(watch.need(kStart + row.silent), row.need);
}

TEST(KeeperWatch, LooksAgainWhenTheAnswerChanges) {
  KeeperWatch watch;
  watch.hear(kStart, milliseconds(30));
  EXPECT_EQ(watch.next(kStart), kStart + milliseconds(90));
  EXPECT_EQ(watch.next(kStart + milliseconds(90)), kStart + seconds(5));
}

TEST(KeeperWatch, WhoWasStoppedItselfBlamesNobody) {
  const struct {
    const char* what;
    Duration late;
    Need need;
  } rows[] = {
      {"a busy machine", milliseconds(400), Need::drain},
      {"a stop", milliseconds(600), Need::nothing},
      {"a machine that was stopped", std::chrono::hours(1), Need::nothing},
  };
  for (const auto& row : rows) {
    KeeperWatch watch;
    watch.hear(kStart, milliseconds(30));
    const Time asked = watch.next(kStart) + row.late;
    EXPECT_EQ(watch.need(asked), row.need) << row.what;
    watch.next(asked);
    EXPECT_EQ(watch.need(asked + milliseconds(90)), Need::drain) << row.what;
  }
}

TEST(KeeperWatch, ASignOfLifeBeginsAnew) {
  KeeperWatch watch;
  watch.hear(kStart, milliseconds(30));
  watch.hear(kStart + milliseconds(80), milliseconds(30));
  EXPECT_EQ(watch.need(kStart + milliseconds(160)), Need::nothing);
  EXPECT_EQ(watch.need(kStart + milliseconds(170)), Need::drain);
}

TEST(KeeperWatch, WhoPromisesLessIsExpectedLess) {
  KeeperWatch watch;
  watch.hear(kStart, seconds(1));
  EXPECT_EQ(watch.need(kStart + seconds(2)), Need::nothing);
  EXPECT_EQ(watch.need(kStart + seconds(5)), Need::kill);
}

TEST(KeeperWatch, WhoIsExpectedMoreIsLookedAtSooner) {
  const struct {
    const char* was;
    Duration promised;
    Duration silent;
    bool sooner;
  } rows[] = {
      {"a sign a second", seconds(1), seconds(0), true},
      {"a sign every 30 ms", milliseconds(30), milliseconds(30), false},
      {"read for", milliseconds(30), milliseconds(90), true},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.was);
    KeeperWatch watch;
    watch.hear(kStart, row.promised);
    watch.next(kStart + row.silent);
    EXPECT_EQ(watch.hear(kStart + row.silent, milliseconds(30)), row.sooner);
  }
}

TEST(KeeperWatch, FiveCrashesInTenSecondsAreTooMany) {
  KeeperWatch watch;
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(watch.crash(kStart + seconds(i)));
  EXPECT_TRUE(watch.crash(kStart + milliseconds(9999)));
}

TEST(KeeperWatch, CrashesOfLongAgoDoNotCount) {
  KeeperWatch watch;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(watch.crash(kStart + i * milliseconds(2501)));
}

}  // namespace
}  // namespace lanyard
