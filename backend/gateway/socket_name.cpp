// SPDX-License-Identifier: MIT
#include "backend/gateway/socket_name.h"

#include <algorithm>
#include <cstring>

#include "switch/base/text.h"

namespace lanyard {

SocketName::SocketName(const IpAddress& address, std::uint16_t port) {
  std::memset(&name_, 0, sizeof name_);
  if (address.is_v4()) {
    name_.v4.sin_family = AF_INET;
    name_.v4.sin_port = htons(port);
    name_.v4.sin_addr.s_addr = htonl(address.v4().number());
  } else {
    name_.v6.sin6_family = AF_INET6;
    name_.v6.sin6_port = htons(port);
    std::copy(address.v6().bytes().begin(), address.v6().bytes().end(), name_.v6.sin6_addr.s6_addr);
  }
}

std::optional<SocketName> SocketName::of_socket(int fd) {
  SocketName name;
  socklen_t size = capacity();
  if (::getsockname(fd, name.get(), &size) != 0) return std::nullopt;
  return name;
}

bool SocketName::is_loopback() const {
  return is_v6() ? IN6_IS_ADDR_LOOPBACK(&name_.v6.sin6_addr) != 0
                 : ntohl(name_.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

AddressKey SocketName::key() const {
  if (!is_v6()) return address_key(Ipv4Address::from_number(ntohl(name_.v4.sin_addr.s_addr)));
  AddressKey key{};
  std::copy_n(name_.v6.sin6_addr.s6_addr, key.size(), key.begin());
  return key;
}

std::string SocketName::text() const {
  const std::string address = this->address().text();
  return is_v6() ? fmt::format("[{}]:{}", address, port()) : fmt::format("{}:{}", address, port());
}

}  // namespace lanyard
