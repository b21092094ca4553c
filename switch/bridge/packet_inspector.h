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

// Whether that could be anything but `other` or ARP, by a look at a few bytes: false for nearly all
// frames there are, and for none that would be found to be more.
inline bool may_be_control(std::span<const std::uint8_t> frame) {
  constexpr std::size_t kUdpPort = 36;   // behind an IPv4 header without options
  constexpr std::size_t kUdpPort6 = 56;  // behind an IPv6 header without extensions
  const auto word = [&](std::size_t at) { return frame[at] << 8 | frame[at + 1]; };
  if (frame.size() < kUdpPort + 2) return true;
  const int type = word(12);
  if (type == 0x0800) {
    if (frame[23] != 17) return false;  // UDP, for DHCP
    if (frame[14] != 0x45 || (word(20) & 0x3fff) != 0) return true;
    const int to = word(kUdpPort);
    return to == 67 || to == 68;
  }
  if (type != 0x86dd) return type != 0x0806;
  if (frame[20] == 6) return false;  // behind TCP there is nothing
  if (frame.size() < kUdpPort6 + 2) return true;
  if (frame[20] == 58) return frame[54] >= 134 && frame[54] <= 137;
  if (frame[20] != 17) return true;
  const int to = word(kUdpPort6);
  return to == 546 || to == 547;
}

}  // namespace lanyard
