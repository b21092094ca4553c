// SPDX-License-Identifier: MIT
//
// What a service of the gateway (DHCP, DNS, TFTP, NAT) sees of the guests' side: datagrams that
// came in and a way to answer. Headers, checksums and fragments are made and checked in one place
// behind this, never in a service. Gateway thread only.
#pragma once

#include <cstdint>
#include <span>

#include "switch/frame/mac_address.h"
#include "switch/frame/offload.h"
#include "switch/network/ip_address.h"

namespace lanyard {

// A UDP datagram between a guest and us, in either direction: source and destination are those of
// the packet, `guest` is the hardware address at the other end.
struct GuestDatagram {
  MacAddress guest;
  IpAddress source;
  IpAddress destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::span<const std::uint8_t> payload;  // good for the duration of the call
};

class GuestLink {
 public:
  virtual ~GuestLink() = default;

  // To a guest, or to everybody when `guest` is the broadcast address. Longer than the MTU it goes
  // in fragments. Never waits; what finds no room is counted and lost.
  virtual void send_udp(const GuestDatagram& datagram) = 0;
  // Asks who has `target`. An unspecified sender makes it a probe (RFC 5227 2.1.1).
  virtual void send_arp_request(Ipv4Address sender, Ipv4Address target) = 0;
  // An ICMPv6 message with hop limit 255; `body` begins with its type, its checksum is filled in.
  virtual void send_icmp6(MacAddress to, const Ipv6Address& source, const Ipv6Address& destination,
                          std::span<const std::uint8_t> body) = 0;
  // A whole Ethernet frame, with what it still owes.
  virtual void send_frame(std::span<const std::uint8_t> frame, const Offload& offload) = 0;
  // False while the switch takes no more frames from us: whoever can wait (NAT) should.
  virtual bool has_room() const = 0;
};

}  // namespace lanyard
