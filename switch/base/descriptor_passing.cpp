// SPDX-License-Identifier: MIT
#include "switch/base/descriptor_passing.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "switch/base/one_message.h"
#include "switch/base/text.h"

namespace lanyard {

void PassedDescriptor::make_room(msghdr& header) {
  header.msg_control = room_.data();
  header.msg_controllen = room_.size();
}

void PassedDescriptor::attach(msghdr& header, int descriptor) {
  if (descriptor < 0) return;
  make_room(header);
  cmsghdr* const part = CMSG_FIRSTHDR(&header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
}

UniqueFd take_descriptor(msghdr& header) {
  UniqueFd first;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof number, sizeof number);
      UniqueFd one(number);
      if (!first) first = std::move(one);
    }
  }
  return first;
}

Result<std::optional<ReceivedMessage>> receive_with_descriptor(int fd, std::size_t size_max) {
  ReceivedMessage received;
  received.bytes.resize(size_max);
  iovec content{received.bytes.data(), received.bytes.size()};
  PassedDescriptor passed;
  msghdr header{};
  header.msg_iov = &content;
  header.msg_iovlen = 1;
  passed.make_room(header);
  ssize_t count = 0;
  do {
    count = receive_message(fd, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) return std::optional<ReceivedMessage>();
  if (count < 0 && errno != ECONNRESET)
    return Error{errno, fmt::format("recvmsg: {}", std::strerror(errno))};
  if (count <= 0) return Error{EPIPE, "the other side is gone"};
  received.descriptor = take_descriptor(header);
  received.bytes.resize(static_cast<std::size_t>(count));
  return std::optional<ReceivedMessage>(std::move(received));
}

}  // namespace lanyard
