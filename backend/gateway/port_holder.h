// SPDX-License-Identifier: MIT
//
// Who holds a port of the host: the sentence that helps when it cannot be had. Read from
// /proc/net and /proc/PID/fd, where the rights of this process allow it. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "switch/network/network_config.h"

namespace lanyard {

// "process 812 (nginx)", "a process of user 33" or "" when nothing can be said. `proc` is where
// proc(5) is mounted.
std::string port_holder(Transport transport, std::uint16_t port, const std::string& proc = "/proc");

// The inode and user of the socket that holds the port, of a line of /proc/net/tcp; inode 0: of
// another port, or not listening.
struct SocketLine {
  std::uint64_t inode = 0;
  std::uint32_t uid = 0;
};
SocketLine read_socket_line(std::string_view line, Transport transport, std::uint16_t port);

}  // namespace lanyard
