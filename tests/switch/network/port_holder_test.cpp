// SPDX-License-Identifier: MIT
#include "switch/network/port_holder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/loopback_peer.h"

namespace lanyard::testing {
namespace {

TEST(PortHolder, ReadsTheLinesOfProc) {
  constexpr const char* kLine =
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
      "35465 1 0000000000000000 100 0 0 10 0";
  EXPECT_EQ(read_socket_line(kLine, Transport::tcp, 8080).inode, 35465U);
  EXPECT_EQ(read_socket_line(kLine, Transport::tcp, 8080).uid, 1000U);
  EXPECT_EQ(read_socket_line(kLine, Transport::tcp, 8081).inode, 0U);
  EXPECT_EQ(read_socket_line(kLine, Transport::udp, 8080).inode, 0U);
  for (const char* line : {"", "  sl  local_address rem_address", "0: 1 2 3 4 5 6 7 8 9 10"}) {
    EXPECT_EQ(read_socket_line(line, Transport::tcp, 1).inode, 0U) << line;
  }
}

TEST(PortHolder, KnowsThisProcess) {
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  const std::string holder = port_holder(Transport::tcp, port_of(listener.get()));
  EXPECT_NE(holder.find(std::to_string(::getpid())), std::string::npos) << holder;
  const UniqueFd udp = bound_socket(SOCK_DGRAM);
  EXPECT_NE(port_holder(Transport::udp, port_of(udp.get())), "");
}

TEST(PortHolder, KnowsTheUserOfASocketToo) {
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  const PortSocket found = port_socket(Transport::tcp, port_of(listener.get()));
  EXPECT_NE(found.inode, 0U);
  EXPECT_EQ(found.uid, ::geteuid());
  EXPECT_EQ(port_socket(Transport::udp, port_of(listener.get())).inode, 0U);
}

}  // namespace
}  // namespace lanyard::testing
