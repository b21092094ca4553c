// SPDX-License-Identifier: MIT
#include "switch/frame/fixed_mac.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cerrno>
#include <cstring>
#include <thread>

namespace lanyard {
namespace {

TEST(FixedMac, IsLocalAndOfOneStation) {
  EXPECT_EQ(fixed_mac("tap0").text().substr(0, 3), "02:");
}

TEST(FixedMac, IsTheSameForTheSameNameOnly) {
  EXPECT_EQ(fixed_mac("tap0"), fixed_mac("tap0"));
  EXPECT_NE(fixed_mac("tap0"), fixed_mac("tap1"));
}

// Guests of one switch in several namespaces, each with a tap0.
TEST(FixedMac, DiffersBetweenNetworkNamespaces) {
  const MacAddress here = fixed_mac("tap0");
  int error = 0;
  MacAddress there = here;
  std::thread([&] {
    error = ::unshare(CLONE_NEWNET) == 0 ? 0 : errno;
    there = fixed_mac("tap0");
  }).join();
  if (error != 0) GTEST_SKIP() << "a network namespace cannot be made: " << std::strerror(error);
  EXPECT_NE(there, here);
}

}  // namespace
}  // namespace lanyard
