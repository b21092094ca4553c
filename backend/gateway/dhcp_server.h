// SPDX-License-Identifier: MIT
//
// The DHCPv4 server of a network (RFC 2131): who gets which address, for how long, and what else it
// is told. It opens no socket and reads no clock: datagrams and ARP come in by calls, answers leave
// by the GuestLink, time is a parameter.
//
// What makes it hard:
//  - It is authoritative, the only server of a network that is all ours: a client that insists on
//  an
//    address it cannot have is told so at once (NAK with the reason) instead of timing out, and one
//    that asks for a free address of which we have no record gets it: the record may be what was
//    lost.
//  - Guests may set addresses by hand. An address that its client did not hold before is therefore
//    asked for by ARP first, all such probes at the same time, and the answer waits 120 ms for it.
//    What answers is quarantined, and the next address is tried.
//  - A guest may invent any number of clients. An offer lasts ten seconds and there are at most
//    kOffersMax of them; only what was really requested becomes a lease, is written, and is kept
//    after its end so that its client can have it again.
//  - Running, time is the monotonic clock; in the lease file it is the wall clock. What is read
//  back
//    lasts at most as long as was granted, however the clock was set meanwhile; when the clock
//    jumps, the file is written anew.
//  - VMs are cloned with their machine-id, so two may claim to be the same client (option 61). One
//    that has another MAC address and finds the first alive gets an address of its own.
//
// Identity is option 61 when there is one, else the MAC (RFC 2131 4.2, RFC 4361). The firmware of a
// VM often sends none and its system does: a lease without an identifier of its own goes to
// whoever comes with the same MAC.
//
// Names: the configuration's by MAC; else the first label of option 81 or 12, in lower case, when
// it is a host name (RFC 1123) and not only digits. One that another guest has gets "-2" to "-99".
// Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/guest_link.h"
#include "backend/gateway/lease.h"
#include "backend/gateway/lease_store.h"
#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/network/network_config.h"

namespace lanyard {

struct LeaseEvent {
  std::string_view kind;  // of rpc_event_kinds(): lease.granted, lease.ended, lease.refused
  Lease lease;            // of lease.refused only the client
  std::string reason;     // "new", "renewed"; "released", "declined", "expired", "deleted", ...
};

class DhcpServer {
 public:
  static constexpr std::size_t kOffersMax = 4096;
  static constexpr Duration kOfferTime = std::chrono::seconds(10);
  static constexpr Duration kProbeTime = std::chrono::milliseconds(120);
  static constexpr Duration kQuarantineTime = std::chrono::minutes(10);

  struct Callbacks {
    std::function<void(const LeaseEvent&)> on_event;
    std::function<std::int64_t()> wall_clock_s;  // Unix time; the system's when empty
  };

  // Reads what the store has. `server_mac` is the gateway's own: what it says is no conflict.
  DhcpServer(const NetworkConfig& config, MacAddress server_mac, GuestLink& link, LeaseStore& store,
             Log& log, Callbacks callbacks, Time now);
  ~DhcpServer();
  DhcpServer(const DhcpServer&) = delete;
  DhcpServer& operator=(const DhcpServer&) = delete;

  // A datagram to port 67, unicast or broadcast.
  void on_datagram(const GuestDatagram& datagram, Time now);
  // Somebody says by ARP (request or reply) that it has this address. Probes (sender 0.0.0.0) are
  // not for here.
  void on_arp(Ipv4Address sender, MacAddress mac, Time now);
  std::optional<Time> next_deadline() const;
  void on_time(Time now);

  // Leases stay as far as the new configuration has room for them; clients hear of the change when
  // they renew.
  Result<void> reconfigure(const NetworkConfig& config, Time now);

  // By address, with the reserved ones that nobody has yet.
  std::vector<Lease> leases(Time now) const;
  std::size_t bound_count() const;
  // The address is free. Its client, if it lives, does not hear of it before it renews.
  Result<void> forget(Ipv4Address address, Time now);

  // For the GuestDirectory: of live leases and of the hosts of the configuration.
  std::optional<Ipv4Address> address_of(std::string_view name) const;
  std::optional<Ipv4Address> address_of(MacAddress mac) const;
  std::optional<std::string> name_of(Ipv4Address address) const;
  std::optional<MacAddress> mac_of(Ipv4Address address) const;

  // Where the server lives, which is also its identity: dhcp_address, else the router, else the
  // host's own address.
  static std::optional<Ipv4Address> server_address(const NetworkConfig& config);

 private:
  class Engine;
  std::unique_ptr<Engine> engine_;
};

}  // namespace lanyard
