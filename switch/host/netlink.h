// SPDX-License-Identifier: MIT
//
// The kernel's network configuration over rtnetlink (libmnl): links, addresses and routes listed,
// and the few changes that a host interface needs.
//
// What makes it hard: attributes are bytes of lengths that differ by kernel, so each is checked
// before it is read; a dump that was overtaken by a change is said to be so and is repeated; a
// refusal carries the kernel's own sentence (extended ack), which says more than its errno.
// Everything here asks the kernel and has its answer at once: setting up and taking down, never the
// path of a frame. The thread that sets things up.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/host/netlink_message.h"

namespace lanyard {

class Netlink {
 public:
  static Result<Netlink> open();
  Netlink(Netlink&&) noexcept;
  Netlink& operator=(Netlink&&) noexcept;
  ~Netlink();

  Result<std::vector<LinkInfo>> links();
  Result<std::vector<AddressInfo>> addresses();
  Result<std::vector<RouteInfo>> routes();

  // ENODEV when there is none of that name.
  Result<LinkInfo> link(std::string_view name);

  Result<void> set_up(int index, bool up);
  Result<void> set_mtu(int index, std::uint32_t mtu);
  Result<void> set_mac(int index, MacAddress mac);
  Result<void> set_alias(int index, std::string_view alias);  // empty: none
  Result<void> delete_link(int index);
  // Usable at once: without duplicate address detection.
  Result<void> add_address(int index, const IpAddress& address, unsigned length);
  Result<void> delete_address(int index, const IpAddress& address, unsigned length);

 private:
  class Socket;
  explicit Netlink(std::unique_ptr<Socket> socket);

  std::unique_ptr<Socket> socket_;
};

}  // namespace lanyard
