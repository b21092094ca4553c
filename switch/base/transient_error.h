// SPDX-License-Identifier: MIT
//
// Which errors of a call on a descriptor say nothing about the peer: there is nothing now, somebody
// interrupted us, or the kernel had no memory for a moment. To be asked again, for it is still
// ready; a client that were cut off for that would have lost its switch. Any thread.
#pragma once

#include <cerrno>

namespace lanyard {

constexpr bool is_transient(int error) {
  return error == EAGAIN || error == EINTR || error == ENOMEM || error == ENOBUFS;
}

}  // namespace lanyard
