// SPDX-License-Identifier: MIT
#include "switch/base/one_message.h"

namespace lanyard {

ssize_t send_message(int fd, const msghdr& message, int flags) {
  mmsghdr one{message, 0};
  return ::sendmmsg(fd, &one, 1, flags) < 0 ? -1 : static_cast<ssize_t>(one.msg_len);
}

ssize_t receive_message(int fd, msghdr& message, int flags) {
  mmsghdr one{message, 0};
  if (::recvmmsg(fd, &one, 1, flags, nullptr) < 0) return -1;
  message = one.msg_hdr;
  return static_cast<ssize_t>(one.msg_len);
}

}  // namespace lanyard
