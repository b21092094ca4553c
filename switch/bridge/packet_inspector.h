// SPDX-License-Identifier: MIT
//
// What a frame is to the guards: one of the messages by which a guest could take over a network
// (DHCP, router advertisement, ARP, neighbour discovery), and for whom it speaks.
//
// What makes it hard: the sender wants it to be taken for something else. So the way to the message
// is followed as far as any receiver might: through stacked VLAN tags and SNAP headers in any
// order, IPv6 extension headers of any number, first fragments. Lengths that the headers claim are
// not believed, and a way that cannot be followed to its end is a finding of its own: `hidden` (RFC
// 7113 and 7610 ask for exactly that). Later fragments are harmless: without a first one that was
// seen nothing comes of them. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"

namespace lanyard {

enum class PacketKind : std::uint8_t {
  other,
  arp,
  dhcp_request,  // to a server
  dhcp_reply,    // to a client or a relay
  dhcpv6_request,
  dhcpv6_reply,
  router_advertisement,
  redirect,
  neighbour_solicitation,
  neighbour_advertisement,
  hidden,  // cannot be seen
};

struct InspectedPacket {
  PacketKind kind = PacketKind::other;
  bool fragment = false;             // part of one, or with a fragment header
  std::optional<IpAddress> source;   // of IPv4 and IPv6
  std::optional<IpAddress> claimed;  // whose address ARP or neighbour discovery tells
  std::optional<MacAddress> claimed_mac;
  std::span<const std::uint8_t> message;  // of DHCP, behind UDP
};

// `frame` begins at its Ethernet header, without the tag that the switch has taken off. What lies
// beyond the bytes given is not there.
InspectedPacket inspect_packet(std::span<const std::uint8_t> frame);

}  // namespace lanyard
