// SPDX-License-Identifier: MIT
#include "backend/gateway/host_addresses.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/host/netlink.h"

namespace lanyard {

// Not by getifaddrs(3), which makes a call that nothing else in a gateway needs.
std::vector<IpAddress> host_addresses() {
  std::vector<IpAddress> addresses;
  Result<Netlink> kernel = Netlink::open();
  if (!kernel) return addresses;
  const Result<std::vector<AddressInfo>> known = kernel.value().addresses();
  if (!known) return addresses;
  for (const AddressInfo& info : known.value()) addresses.push_back(info.address);
  return addresses;
}

Result<std::unique_ptr<HostAddressWatch>> HostAddressWatch::create(
    EventLoop& loop, std::function<void(std::vector<IpAddress>)> changed) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  name.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    const int code = errno;
    return Error{code, fmt::format("cannot watch the host's addresses, which the policy refuses to "
                                   "guests: {}",
                                   std::strerror(code))};
  }
  const int number = fd.get();
  std::unique_ptr<HostAddressWatch> self(new HostAddressWatch(std::move(fd), std::move(changed)));
  auto watch = loop.watch(number, EPOLLIN, [raw = self.get()](std::uint32_t) { raw->drain(); });
  if (!watch) return watch.error();
  self->watch_ = watch.take();
  self->changed_(host_addresses());
  return self;
}

void HostAddressWatch::drain() {
  // What they say does not matter, nor whether some were lost (ENOBUFS): all is read anew.
  std::array<char, 8192> buffer;
  while (::recv(fd_.get(), buffer.data(), buffer.size(), 0) > 0 || errno == ENOBUFS) {
  }
  changed_(host_addresses());
}

}  // namespace lanyard
