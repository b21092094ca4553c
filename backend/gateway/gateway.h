// SPDX-License-Identifier: MIT
//
// A network's gateway: owns the services and gives every frame to the one it is for.
//
// What makes it hard is that everybody talks to it at once, and what is given to the wrong one is a
// hole: the frames of neighbours that a switch floods must not reach NAT, where an address of the
// network means the host's own loopback; a datagram for the name server must not leave by NAT to
// somebody's port 53. So each frame is read once, checked, and goes exactly one way, in this order:
// ours by hardware address or not; ARP; fragments wait until they are a packet; neighbour
// discovery; the services' ports at our addresses; pings; then NAT. What goes nowhere is counted by
// name.
//
// A turn of the loop ends with end_of_turn(): what all services sent goes out in one batch, and the
// nearest of their deadlines is set. Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/address_responder.h"
#include "backend/gateway/dhcp_server.h"
#include "backend/gateway/directory.h"
#include "backend/gateway/dns_service.h"
#include "backend/gateway/fragment_reassembler.h"
#include "backend/gateway/frame_channel.h"
#include "backend/gateway/gateway_counters.h"
#include "backend/gateway/guest_side.h"
#include "backend/gateway/lease_file.h"
#include "backend/gateway/nat.h"
#include "backend/gateway/neighbour_table.h"
#include "backend/gateway/ping_relay.h"
#include "backend/gateway/policy.h"
#include "backend/gateway/router_advertiser.h"
#include "backend/gateway/tftp_server.h"
#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/network/json_rpc.h"
#include "switch/network/network_config.h"
#include "switch/runtime/deadline_timer.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class Gateway {
 public:
  struct Context {
    EventLoop& loop;
    FrameChannel& channel;
    Log& log;
    std::string state_directory;  // where the lease file is; empty: nowhere
    // A notification of this kind (rpc_event_kinds()).
    std::function<void(std::string_view kind, Json fields)> event;
    PathListeners* path_listeners = nullptr;
  };

  static Result<std::unique_ptr<Gateway>> create(const NetworkConfig& config, Context context);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Changes what can change while guests go on. An error names what cannot, and then nothing has
  // changed.
  Result<void> reconfigure(const NetworkConfig& config);

  void on_frames(std::span<FrameChannel::Received> frames);
  void on_room();
  void end_of_turn();
  // The last words to the guests.
  void shut_down();

  // The results of the control requests of the same names.
  Json status() const;
  Json forwards() const;
  // Their rows.
  Json leases() const;
  Json flows() const;
  Result<void> forget_lease(Ipv4Address address);
  Result<void> add_forward(const ForwardConfig& forward);
  Result<void> remove_forward(std::string_view name);

  const GatewayCounters& counters() const { return counters_; }
  const NetworkConfig& config() const { return config_; }
  MacAddress mac() const { return link_.mac(); }

 private:
  Gateway(const NetworkConfig& config, Context context);

  Result<void> start();
  Result<void> start_dhcp();
  void start_dns();
  Result<void> reconfigure_services(const NetworkConfig& config);
  void apply(const NetworkConfig& config);
  bool may_ping(const IpAddress& target) const;

  void on_frame(const FrameChannel::Received& received);
  void on_arp(const FrameChannel::Received& received, const Packet& packet);
  void on_ip(const FrameChannel::Received& received, const Packet& packet);
  void on_whole_ip(const FrameChannel::Received& received, const Packet& packet);
  bool on_udp(const FrameChannel::Received& received, const Packet& packet);
  bool on_icmp(const FrameChannel::Received& received, const Packet& packet);
  bool on_icmp6(const FrameChannel::Received& received, const Packet& packet, const IcmpView& icmp);
  void to_nat(const FrameChannel::Received& received);
  void on_lease_event(const LeaseEvent& event);
  void on_deadline();
  void set_deadline();

  Context context_;
  NetworkConfig config_;
  GatewayCounters counters_;
  GuestSide link_;
  NeighbourTable neighbours_;
  FragmentReassembler reassembler_;
  std::vector<PacketBytes> whole_;  // what came of it in this turn
  AddressResponder responder_;
  Directory directory_;
  std::unique_ptr<LeaseFile> lease_file_;
  std::unique_ptr<DhcpServer> dhcp_;
  std::unique_ptr<TftpServer> tftp_;
  std::unique_ptr<DnsService> dns_;
  std::mt19937 random_{std::random_device{}()};
  std::unique_ptr<RouterAdvertiser> advertiser_;
  std::optional<Policy> policy_;  // of pings; NAT has its own
  std::unique_ptr<PingRelay> pings_;
  std::unique_ptr<Nat> nat_;
  std::vector<Nat::Input> nat_batch_;
  DeadlineTimer deadline_timer_;
  EventLoop::Timer ageing_;
};

}  // namespace lanyard
