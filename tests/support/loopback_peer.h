// SPDX-License-Identifier: MIT
//
// Sockets of the host for tests: servers and clients on loopback that never block.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "switch/base/fd.h"

namespace lanyard::testing {

struct LoopbackName {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* any() { return reinterpret_cast<sockaddr*>(&storage); }
};

inline LoopbackName loopback(bool v6, std::uint16_t port) {
  LoopbackName name;
  if (v6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_addr = in6addr_loopback;
    in.sin6_port = htons(port);
    std::memcpy(&name.storage, &in, sizeof in);
    name.size = sizeof in;
  } else {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(port);
    std::memcpy(&name.storage, &in, sizeof in);
    name.size = sizeof in;
  }
  return name;
}

inline std::uint16_t port_of(int fd) {
  sockaddr_in6 in{};
  socklen_t size = sizeof in;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&in), &size);
  return ntohs(in.sin6_port);  // in the same place for both families
}

inline UniqueFd bound_socket(int type, bool v6 = false) {
  UniqueFd fd(::socket(v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  LoopbackName name = loopback(v6, 0);
  ::bind(fd.get(), name.any(), name.size);
  if (type == SOCK_STREAM) ::listen(fd.get(), 1024);
  return fd;
}

// A port that nobody has at the moment.
inline std::uint16_t free_port(bool v6 = false) {
  return port_of(bound_socket(SOCK_STREAM, v6).get());
}

inline UniqueFd connect_to(std::uint16_t port, bool v6 = false) {
  UniqueFd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  LoopbackName name = loopback(v6, port);
  ::connect(fd.get(), name.any(), name.size);
  return fd;
}

inline UniqueFd accept_from(const UniqueFd& listener) {
  return UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

// For conditions that are asked again and again.
inline bool accept_once(const UniqueFd& listener, UniqueFd& accepted) {
  if (!accepted) accepted = accept_from(listener);
  return static_cast<bool>(accepted);
}

// Appends what is there; whether the peer has closed.
inline bool read_into(const UniqueFd& fd, std::vector<std::uint8_t>& to,
                      std::size_t most = static_cast<std::size_t>(-1)) {
  std::vector<std::uint8_t> piece(65536);
  std::size_t got = 0;
  while (got < most) {
    const ssize_t n = ::recv(fd.get(), piece.data(), std::min(piece.size(), most - got), 0);
    if (n == 0) return true;
    if (n < 0) return false;
    got += static_cast<std::size_t>(n);
    to.insert(to.end(), piece.begin(), piece.begin() + n);
  }
  return false;
}

// How many of the bytes from `at` on were taken.
inline std::size_t write_from(const UniqueFd& fd, const std::vector<std::uint8_t>& bytes,
                              std::size_t at) {
  if (at >= bytes.size()) return 0;
  const ssize_t n = ::send(fd.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

}  // namespace lanyard::testing
