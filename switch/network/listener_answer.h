// SPDX-License-Identifier: MIT
//
// What the daemon answers when a gateway asks for a listening socket (gateway_listeners.h): one
// message of a SOCK_SEQPACKET pair, with the socket as SCM_RIGHTS when the code is 0. Both ends are
// on one machine and of one build, so it is a plain value.
#pragma once

#include <cstdint>

namespace lanyard {

struct ListenerAnswer {
  std::uint64_t id = 0;   // of the request
  std::int32_t code = 0;  // an errno, or 0
  std::int32_t unused = 0;
};

}  // namespace lanyard
