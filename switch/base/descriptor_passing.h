// SPDX-License-Identifier: MIT
//
// Descriptors that go along with a message over a Unix socket: SCM_RIGHTS of unix(7).
//
// What makes it hard is only the receiving side: a peer may send more than was asked for, and what
// is not taken must be closed, or our table fills up with it. Any thread.
#pragma once

#include <sys/socket.h>

#include <array>

#include "switch/base/fd.h"

namespace lanyard {

// The room beside one message for one descriptor; it must live as long as the message's header.
class PassedDescriptor {
 public:
  PassedDescriptor() = default;
  PassedDescriptor(const PassedDescriptor&) = delete;
  PassedDescriptor& operator=(const PassedDescriptor&) = delete;

  // To be sent along; -1 sends none. The sender keeps its own.
  void attach(msghdr& header, int descriptor);
  // Room to receive one. Receive with MSG_CMSG_CLOEXEC.
  void make_room(msghdr& header);

 private:
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room_{};
};

// The first descriptor that came along, or none; what there is beyond it is closed.
UniqueFd take_descriptor(msghdr& header);

}  // namespace lanyard
