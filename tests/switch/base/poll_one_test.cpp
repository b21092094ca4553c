// SPDX-License-Identifier: MIT
#include "switch/base/poll_one.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "switch/base/fd.h"

namespace lanyard {
namespace {

constexpr Duration kNone{0};

TEST(PollOne, TellsWhatADescriptorHas) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  EXPECT_EQ(poll_one(ours.get(), POLLIN, kNone), 0);
  EXPECT_EQ(poll_one(ours.get(), POLLIN | POLLOUT, kNone), POLLOUT);
  ASSERT_EQ(::write(theirs.get(), "x", 1), 1);
  EXPECT_EQ(poll_one(ours.get(), POLLIN, std::chrono::seconds(60)), POLLIN);
  EXPECT_EQ(poll_one(ours.get(), POLLIN, std::nullopt), POLLIN);
  theirs.reset();
  EXPECT_NE(poll_one(ours.get(), 0, kNone) & POLLHUP, 0) << "its end, without being asked";
}

TEST(PollOne, HasNothingOfADescriptorThatIsNone) {
  EXPECT_EQ(poll_one(-1, POLLIN, kNone), 0);
  EXPECT_EQ(poll_one(-1, POLLIN, -std::chrono::seconds(1)), 0) << "a time that is over";
}

}  // namespace
}  // namespace lanyard
