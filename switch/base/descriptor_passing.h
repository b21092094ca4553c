// SPDX-License-Identifier: MIT
//
// Descriptors that go along with a message over a Unix socket: SCM_RIGHTS of unix(7).
//
// What makes it hard is only the receiving side: a peer may send more than was asked for, and what
// is not taken must be closed, or our table fills up with it. Any thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <optional>
#include <string>

#include "switch/base/fd.h"
#include "switch/base/result.h"

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

struct ReceivedMessage {
  std::string bytes;
  UniqueFd descriptor;  // that came along, or none
};

// The next message of a socket that keeps their bounds, without waiting; nullopt when there is
// none. More than `size_max` bytes are not read. EPIPE when the other side is gone.
Result<std::optional<ReceivedMessage>> receive_with_descriptor(int fd, std::size_t size_max);

}  // namespace lanyard
