// SPDX-License-Identifier: MIT
//
// An address and a port as the socket calls want them (ip(7), ipv6(7)). A value; any thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

#include "backend/gateway/nat_packet.h"
#include "switch/network/ip_address.h"

namespace lanyard {

class SocketName {
 public:
  SocketName() : SocketName(Ipv4Address(), 0) {}
  SocketName(const IpAddress& address, std::uint16_t port);
  // What the kernel calls a socket: the local name of `fd`.
  static std::optional<SocketName> of_socket(int fd);

  // For calls that read a name, and for those that write one: they get capacity().
  sockaddr* get() { return &name_.any; }
  const sockaddr* get() const { return &name_.any; }
  socklen_t size() const { return is_v6() ? sizeof name_.v6 : sizeof name_.v4; }
  static constexpr socklen_t capacity() { return sizeof(Any); }

  bool is_v6() const { return name_.any.sa_family == AF_INET6; }
  bool is_loopback() const;
  std::uint16_t port() const { return ntohs(is_v6() ? name_.v6.sin6_port : name_.v4.sin_port); }
  AddressKey key() const;
  IpAddress address() const { return address_of(key()); }
  std::string text() const;  // "ADDRESS:PORT"

 private:
  union Any {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  Any name_{};
};

}  // namespace lanyard
