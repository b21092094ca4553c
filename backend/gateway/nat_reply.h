// SPDX-License-Identifier: MIT
//
// What the NAT itself answers to guests: resets, acknowledgements and ICMP errors. Whole frames,
// checksums included. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/gateway/nat_packet.h"

namespace lanyard {

// A segment without data from the target of a flow to its guest.
struct TcpReply {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint16_t window = 0;
  std::uint8_t flags = 0;
};
std::vector<std::uint8_t> tcp_to_guest(const FlowKey& key, bool v6, MacAddress router_mac,
                                       MacAddress guest_mac, const TcpReply& reply);
// The same from the guest, for the engine.
std::vector<std::uint8_t> tcp_from_guest(const FlowKey& key, bool v6, MacAddress guest_mac,
                                         const TcpReply& reply);
// What RFC 9293 3.5.2 says to a segment that belongs to no connection.
TcpReply reset_of(const NatPacket& packet);

struct IcmpError {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t info = 0;  // the word behind the checksum: an MTU, where there is one
};
// What a router says when no packet gets there, told by an errno of the host's kernel; nullopt when
// that is about something else.
std::optional<IcmpError> unreachable_by(int code, bool v6);
// An error that `from` has about a packet of a guest.
std::vector<std::uint8_t> icmp_error(const NatPacket& packet, MacAddress router_mac,
                                     const IpAddress& from, const IcmpError& error);
// The same when of a guest's UDP datagram only the beginning of the payload is there any more.
struct DatagramOfGuest {
  const FlowKey& key;
  bool v6 = false;
  MacAddress mac;
};
std::vector<std::uint8_t> icmp_about_datagram(const DatagramOfGuest& datagram,
                                              MacAddress router_mac, const IpAddress& from,
                                              const IcmpError& error,
                                              std::span<const std::uint8_t> payload);
// "Communication administratively prohibited" (RFC 1812 5.2.7.1, RFC 4443 3.1) from the router
// about a packet of a guest.
std::vector<std::uint8_t> prohibited(const NatPacket& packet, MacAddress router_mac,
                                     const IpAddress& router);

}  // namespace lanyard
