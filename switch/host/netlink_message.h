// SPDX-License-Identifier: MIT
//
// rtnetlink messages read (rtnetlink(7), netlink(7)): links, addresses, routes and refusals. Bytes
// in, values out, each length checked before anything is read; an attribute of an unknown type or
// an unexpected length is as good as absent. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"

namespace lanyard {

struct LinkInfo {
  int index = 0;
  std::string name;
  std::string alias;
  std::string kind;  // "tun", "bridge", "veth"; empty for hardware
  MacAddress mac;
  std::uint32_t mtu = 0;
  bool up = false;
  bool carrier = false;  // of a TAP: a process has it attached
};

struct AddressInfo {
  int interface_index = 0;
  IpAddress address;
  unsigned length = 0;
};

struct RouteInfo {
  IpAddress destination;  // unspecified with length 0: default
  unsigned length = 0;
  int interface_index = 0;  // 0: none, or several
  std::uint32_t table = 0;
  std::uint8_t type = 0;      // RTN_UNICAST, ...
  std::uint8_t protocol = 0;  // RTPROT_KERNEL: follows from an address
};

// The attributes behind a message's fixed part, or inside another one.
class NetlinkAttributes {
 public:
  explicit NetlinkAttributes(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  // The value of the first of that type.
  std::optional<std::span<const std::uint8_t>> find(std::uint16_t type) const;
  // Values of exactly the size of T.
  template <typename T>
  std::optional<T> number(std::uint16_t type) const {
    const auto value = find(type);
    if (!value || value->size() != sizeof(T)) return std::nullopt;
    T read;
    std::memcpy(&read, value->data(), sizeof read);
    return read;
  }
  std::string text(std::uint16_t type) const;  // up to its NUL; empty when absent
  std::optional<IpAddress> address(std::uint16_t type) const;

 private:
  std::span<const std::uint8_t> bytes_;
};

// What follows the nlmsghdr of RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE; nullopt when it is cut
// short, or of a family other than IPv4 and IPv6.
std::optional<LinkInfo> parse_link(std::span<const std::uint8_t> payload);
std::optional<AddressInfo> parse_address(std::span<const std::uint8_t> payload);
std::optional<RouteInfo> parse_route(std::span<const std::uint8_t> payload);

// NLMSG_ERROR: errno (0: done) and the kernel's sentence, empty when it gave none. `flags` are
// those of the message's header.
struct NetlinkAnswer {
  int code = 0;
  std::string text;
};
NetlinkAnswer parse_answer(std::span<const std::uint8_t> payload, std::uint16_t flags);

}  // namespace lanyard
