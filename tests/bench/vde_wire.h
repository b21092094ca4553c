// SPDX-License-Identifier: MIT
//
// What the benchmark programs need of the VDE handshake, and nothing of the switch's own code: a
// measuring tool that shared a parser with what it measures could not notice that both are wrong.

#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstring>
#include <string_view>

namespace lanyard::bench {

inline constexpr std::uint32_t kVdeMagic = 0xfeedface;
inline constexpr std::uint32_t kVdeVersion = 3;
inline constexpr std::size_t kReplySize = 110;  // clients read exactly one sockaddr_un

// The request of version 3, in host byte order, without gaps.
struct [[gnu::packed]] VdeRequest {
  std::uint32_t magic = kVdeMagic;
  std::uint32_t version = kVdeVersion;
  std::uint32_t type_and_port = 0;  // low 8 bits: 0 = plug me; the rest: wanted port, 0 = any
  std::uint16_t family = AF_UNIX;
  char path[108] = {};
  char description[16] = {};
};
static_assert(sizeof(VdeRequest) == 138 && sizeof(sockaddr_un) == kReplySize);

// Cut rather than refused: the callers make these names themselves, below 108 bytes.
inline sockaddr_un unix_address(std::string_view path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

}  // namespace lanyard::bench
