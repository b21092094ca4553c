// SPDX-License-Identifier: MIT
#include "switch/base/one_message.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "switch/base/descriptor_passing.h"
#include "switch/base/fd.h"

namespace lanyard {
namespace {

class OneMessage : public ::testing::Test {
 protected:
  OneMessage() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
    message.msg_iov = &content;
    message.msg_iovlen = 1;
  }
  ssize_t send(std::string_view text) {
    content = {const_cast<char*>(text.data()), text.size()};
    return send_message(ours.get(), message, MSG_NOSIGNAL);
  }
  ssize_t receive(std::size_t room) {
    content = {received.data(), room};
    return receive_message(theirs.get(), message, MSG_DONTWAIT);
  }

  UniqueFd ours;
  UniqueFd theirs;
  iovec content{};
  msghdr message{};
  std::array<char, 64> received{};
};

TEST_F(OneMessage, ArrivesWithItsSize) {
  EXPECT_EQ(send("hello"), 5);
  EXPECT_EQ(receive(received.size()), 5);
  EXPECT_STREQ(received.data(), "hello");
}

TEST_F(OneMessage, IsSaidToHaveBeenCut) {
  EXPECT_EQ(send("hello"), 5);
  EXPECT_EQ(receive(2), 2);
  EXPECT_NE(message.msg_flags & MSG_TRUNC, 0);
}

TEST_F(OneMessage, BringsADescriptorAlong) {
  PassedDescriptor passed;
  passed.attach(message, theirs.get());
  EXPECT_EQ(send("x"), 1);
  PassedDescriptor room;
  room.make_room(message);
  EXPECT_EQ(receive(1), 1);
  EXPECT_TRUE(take_descriptor(message));
}

TEST_F(OneMessage, IsNoneWhenNothingIsThere) {
  EXPECT_EQ(receive(1), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(OneMessage, HasNoBytesAtTheEnd) {
  ours.reset();
  EXPECT_EQ(receive(1), 0);
}

TEST_F(OneMessage, CannotBeSentToNobody) {
  theirs.reset();
  EXPECT_EQ(send("x"), -1);
  EXPECT_EQ(errno, EPIPE);
}

}  // namespace
}  // namespace lanyard
