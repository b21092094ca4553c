// SPDX-License-Identifier: MIT
#include "backend/gateway/given_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>

namespace lanyard {
namespace {

TEST(GivenListener, StandsForTheFirstUnixSocketAndItsName) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  const UniqueFd other(ends[1]);
  sockaddr_un nowhere{AF_UNIX, "/nowhere/socket"};
  const auto* const name = reinterpret_cast<const sockaddr*>(&nowhere);
  UniqueFd first;
  {
    const GivenListener given{UniqueFd(ends[0])};
    const UniqueFd internet(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_NE(internet.get(), ends[0]);
    first.reset(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(first.get(), ends[0]);
    EXPECT_EQ(::bind(first.get(), name, sizeof nowhere), 0);
    const UniqueFd second(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_NE(second.get(), ends[0]);
    EXPECT_NE(::bind(second.get(), name, sizeof nowhere), 0);
  }
  EXPECT_NE(::bind(first.get(), name, sizeof nowhere), 0) << "no longer";
}

TEST(GivenListener, ClosesWhatNobodyTook) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  const UniqueFd other(ends[1]);
  { const GivenListener given{UniqueFd(ends[0])}; }
  char byte = 0;
  EXPECT_EQ(::recv(other.get(), &byte, 1, MSG_DONTWAIT), 0);
}

}  // namespace
}  // namespace lanyard
