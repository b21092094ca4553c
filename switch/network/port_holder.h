// SPDX-License-Identifier: MIT
//
// Who holds a port of the host: the sentence that helps when it cannot be had. The user is in
// /proc/net for everybody to read; the process is found by /proc/PID/fd, where the rights of who
// asks allow it, which are those of a person at a command line sooner than a confined process's.
// Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "switch/network/network_config.h"

namespace lanyard {

// The socket that listens at the port; inode 0: nobody's. `proc` is where proc(5) is mounted.
struct PortSocket {
  std::uint64_t inode = 0;
  std::uint32_t uid = 0;
};
PortSocket port_socket(Transport transport, std::uint16_t port, const std::string& proc = "/proc");

// "process 812 (nginx)", "a process of user 33" or "" when nothing can be said.
std::string port_holder(Transport transport, std::uint16_t port, const std::string& proc = "/proc");

// What a line of /proc/net/tcp says of the port; inode 0: it is of another, or does not listen.
PortSocket read_socket_line(std::string_view line, Transport transport, std::uint16_t port);

}  // namespace lanyard
