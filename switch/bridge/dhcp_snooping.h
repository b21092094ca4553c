// SPDX-License-Identifier: MIT
//
// What servers tell their clients, overheard: which address is whose, and for how long. DHCP
// (RFC 2131) names the client in the message; DHCPv6 (RFC 8415) names it by an identifier of its
// own, so whoever asks knows it from the frame's destination. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"

namespace lanyard {

struct SnoopedLease {
  IpAddress address;
  std::uint32_t lifetime_s = 0;  // all bits set: for ever; 0: no longer
  friend bool operator==(const SnoopedLease&, const SnoopedLease&) = default;
};

struct SnoopedDhcp {
  MacAddress client;
  SnoopedLease lease;
  friend bool operator==(const SnoopedDhcp&, const SnoopedDhcp&) = default;
};

// Of a DHCPACK that gives an address.
std::optional<SnoopedDhcp> snoop_dhcp_ack(std::span<const std::uint8_t> message);
// Of a DHCPRELEASE or DHCPDECLINE: what the client gives back.
std::optional<SnoopedDhcp> snoop_dhcp_return(std::span<const std::uint8_t> message);
// Of a DHCPv6 Reply: the addresses in it, at most 16.
std::vector<SnoopedLease> snoop_dhcpv6_reply(std::span<const std::uint8_t> message);

}  // namespace lanyard
