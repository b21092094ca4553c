// SPDX-License-Identifier: MIT
//
// What the daemon answers when a gateway asks for a listening socket (gateway_listeners.h): one
// message of a SOCK_SEQPACKET pair, with the socket as SCM_RIGHTS when the code is 0. Both ends are
// on one machine and of one build, so it is a plain value.
#pragma once

#include <cstdint>

namespace lanyard {

struct ListenerAnswer {
  // To whatever it waits for: the daemon had no memory to read which it is.
  static constexpr std::uint64_t kAnyId = 0;

  std::uint64_t id = 0;   // of the request
  std::int32_t code = 0;  // an errno, or 0
  std::int32_t unused = 0;
};

}  // namespace lanyard
