// SPDX-License-Identifier: MIT
//
// One message, by the calls that take many, which frames need anyway: so a list of allowed system
// calls has neither sendmsg(2) nor recvmsg(2). Any thread.
#pragma once

#include <sys/socket.h>

namespace lanyard {

// As sendmsg(2).
ssize_t send_message(int fd, const msghdr& message, int flags);
// As recvmsg(2).
ssize_t receive_message(int fd, msghdr& message, int flags);

}  // namespace lanyard
