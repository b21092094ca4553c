// SPDX-License-Identifier: MIT
#include "switch/base/transient_error.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

TEST(TransientError, SaysNothingAboutThePeer) {
  for (const int error : {EAGAIN, EINTR, ENOMEM, ENOBUFS})
    EXPECT_TRUE(is_transient(error)) << error;
}

TEST(TransientError, IsNoneThatThePeerMade) {
  for (const int error : {0, EPIPE, ECONNRESET, ECONNREFUSED, ENOTCONN, EBADF, EIO, EMSGSIZE}) {
    EXPECT_FALSE(is_transient(error)) << error;
  }
}

}  // namespace
}  // namespace lanyard
