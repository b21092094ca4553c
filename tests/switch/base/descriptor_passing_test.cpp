// SPDX-License-Identifier: MIT
#include "switch/base/descriptor_passing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

namespace lanyard {
namespace {

struct Ends {
  Ends() {
    std::array<int, 2> both{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both.data()), 0);
    here.reset(both[0]);
    there.reset(both[1]);
  }
  UniqueFd here;
  UniqueFd there;
};

// A byte with this descriptor (-1: none), as the other end takes it.
UniqueFd passed(int fd) {
  const Ends ends;
  char byte = 'x';
  iovec content{&byte, 1};
  msghdr sent{};
  sent.msg_iov = &content;
  sent.msg_iovlen = 1;
  PassedDescriptor attached;
  attached.attach(sent, fd);
  EXPECT_EQ(::sendmsg(ends.here.get(), &sent, 0), 1);
  msghdr received{};
  received.msg_iov = &content;
  received.msg_iovlen = 1;
  PassedDescriptor room;
  room.make_room(received);
  EXPECT_EQ(::recvmsg(ends.there.get(), &received, MSG_CMSG_CLOEXEC), 1);
  return take_descriptor(received);
}

TEST(DescriptorPassing, OneGoesAlongAndIsClosedOnExecution) {
  const UniqueFd taken = passed(STDERR_FILENO);
  ASSERT_TRUE(static_cast<bool>(taken));
  EXPECT_EQ(::fcntl(taken.get(), F_GETFD), FD_CLOEXEC);
}

TEST(DescriptorPassing, NoneIsNone) {
  EXPECT_FALSE(static_cast<bool>(passed(-1)));
}

// As a peer that means harm would send them, to one who has room for them.
TEST(DescriptorPassing, WhatIsBeyondTheFirstIsClosed) {
  std::array<int, 3> numbers{};
  for (int& number : numbers) number = ::dup(STDERR_FILENO);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof numbers)> room{};
  msghdr header{};
  header.msg_control = room.data();
  header.msg_controllen = room.size();
  cmsghdr* const part = CMSG_FIRSTHDR(&header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof numbers);
  std::memcpy(CMSG_DATA(part), numbers.data(), sizeof numbers);
  const UniqueFd first = take_descriptor(header);
  EXPECT_EQ(first.get(), numbers[0]);
  EXPECT_EQ(::dup(numbers[1]), -1);
  EXPECT_EQ(::dup(numbers[2]), -1);
}

}  // namespace
}  // namespace lanyard
