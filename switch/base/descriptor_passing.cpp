// SPDX-License-Identifier: MIT
#include "switch/base/descriptor_passing.h"

#include <cstring>
#include <utility>

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

}  // namespace lanyard
