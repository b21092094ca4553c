// SPDX-License-Identifier: MIT
//
// The addresses of the gateway itself, as its guests find them: answers to ARP, to neighbour
// solicitations and to pings of our own, and resets for TCP, which only NAT serves: a guest that
// asks the name server by TCP on another network knows at once that it need not wait. It is also
// where the table of neighbours hears what guests say about themselves.
//
// A guest that takes one of our addresses cuts everybody off, mostly by mistake. We say that it is
// ours (once a second at most, RFC 5227 2.4 c), and the log says who it was. Gateway thread only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "backend/gateway/guest_side.h"
#include "backend/gateway/neighbour_table.h"
#include "backend/gateway/packet.h"
#include "backend/gateway/tcp_refuser.h"
#include "switch/base/log.h"
#include "switch/network/network_config.h"

namespace lanyard {

// Locally administered and the same at every start: 52:55 and the first IPv4 address of the
// gateway, or what the network's name gives when it has none.
MacAddress gateway_mac(const NetworkConfig& config);

class AddressResponder {
 public:
  AddressResponder(GuestSide& link, NeighbourTable& neighbours, Log& log)
      : link_(link), neighbours_(neighbours), log_(log) {}

  void set_network(const NetworkConfig& config);
  bool is_ours(const IpAddress& address) const;
  const std::vector<IpAddress>& addresses() const { return addresses_; }

  void on_arp(const Packet& packet, Time now);
  void on_neighbour(const Packet& packet, const NeighbourMessage& nd, Time now);
  // A ping of one of our addresses.
  void on_echo(const Packet& packet, const IcmpView& icmp);
  // A TCP segment to one of our addresses, where nobody listens. Its bytes may be changed.
  void on_segment(std::span<std::uint8_t> frame, const Offload& offload, Time now);

 private:
  void announce(Ipv4Address address);
  void advertise(MacAddress to, const Ipv6Address& destination, const Ipv6Address& target,
                 bool solicited);
  void report_conflict(const IpAddress& address, MacAddress mac, Time now);

  GuestSide& link_;
  NeighbourTable& neighbours_;
  Log& log_;
  std::vector<IpAddress> addresses_;
  bool is_router_ = false;
  RateLimit conflicts_{1, std::chrono::seconds(1)};
  TcpRefuser refuser_;
  PacketBytes message_;
};

}  // namespace lanyard
