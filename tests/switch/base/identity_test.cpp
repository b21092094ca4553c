// SPDX-License-Identifier: MIT
#include "switch/base/identity.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

TEST(Identity, IsNobodyUntilTheKernelSaysOtherwise) {
  const Identity who;
  EXPECT_EQ(who.uid, kNoUser);
  EXPECT_EQ(who.gid, kNoGroup);
}

TEST(Identity, IsInItsPrimaryAndItsSupplementaryGroups) {
  const Identity who{1000, 100, 1, {27, 108}};
  EXPECT_TRUE(who.in_group(100));
  EXPECT_TRUE(who.in_group(27));
  EXPECT_TRUE(who.in_group(108));
  EXPECT_FALSE(who.in_group(0));
}

}  // namespace
}  // namespace lanyard
