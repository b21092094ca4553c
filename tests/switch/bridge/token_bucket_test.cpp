// SPDX-License-Identifier: MIT
#include "switch/bridge/token_bucket.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

int passed(TokenBucket& bucket, int asked, Time now, std::uint64_t amount = 1) {
  int count = 0;
  for (int i = 0; i < asked; ++i) count += bucket.take(amount, now) ? 1 : 0;
  return count;
}

TEST(TokenBucket, WithoutALimitLetsAllPass) {
  TokenBucket bucket;
  EXPECT_FALSE(bucket.limits());
  EXPECT_EQ(passed(bucket, 100000, Time{0}), 100000);
}

TEST(TokenBucket, LetsABurstPassAndThenItsRate) {
  TokenBucket bucket(100, 10);
  EXPECT_EQ(passed(bucket, 50, seconds(5)), 10) << "full at first";
  EXPECT_EQ(passed(bucket, 50, seconds(5)), 0);
  EXPECT_EQ(passed(bucket, 50, seconds(5) + milliseconds(30)), 3);
  EXPECT_EQ(passed(bucket, 50, seconds(60)), 10) << "never more than the burst";
}

TEST(TokenBucket, HoldsTheAverageWhateverTheSizes) {
  TokenBucket bucket(1'000'000, 1000);
  std::uint64_t bytes = 0;
  for (int ms = 0; ms < 10000; ++ms) {
    const std::uint64_t size = ms % 7 == 0 ? 64000 : 64;  // more than the burst, and less
    while (bucket.take(size, milliseconds(ms))) bytes += size;
  }
  EXPECT_NEAR(static_cast<double>(bytes), 10e6, 65000.0);
}

TEST(TokenBucket, KeepsWhatWasUsedWhenItsLimitsChange) {
  TokenBucket bucket(10, 10);
  EXPECT_EQ(passed(bucket, 10, seconds(1)), 10);
  bucket.set_limits(1000, 100);
  EXPECT_EQ(passed(bucket, 10, seconds(1)), 0);
  EXPECT_EQ(passed(bucket, 10, seconds(1) + milliseconds(5)), 5);
  bucket.set_limits(0, 0);
  EXPECT_EQ(passed(bucket, 10, seconds(1)), 10);
}

}  // namespace
}  // namespace lanyard
