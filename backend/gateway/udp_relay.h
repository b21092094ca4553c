// SPDX-License-Identifier: MIT
//
// UDP of guests, over sockets of the host: one socket for each address and port of a guest, as long
// as any flow uses it.
//
// Why not a socket for each flow, connected: two guests behind NATs that look for each other need
// one outside port for one inside port (RFC 4787 REQ-1), whoever they talk to, and any peer may
// answer there (REQ-8: the policy is about where guests may go). Errors come to unconnected sockets
// too. What makes it hard is the rest: the cost of a datagram is the kernel's, so equal ones of a
// batch leave as one message and arrive as one frame; nothing is read for which there is no room or
// no guest yet, because the kernel's queue is the place to wait; an error that comes by ICMP must
// reach the guest as one about the guest's own datagram; and a socket may end within any call that
// opens a flow, because the oldest flow that never became a conversation makes room for it.
//
// A forward is a socket that was there before its flows. The guest answers through it, and what the
// guest itself begins from that port leaves by it too, if it listens on all addresses: so peers see
// the port that they can reach. Gateway thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/gateway/datagram_runs.h"
#include "backend/gateway/guest_output.h"
#include "backend/gateway/nat.h"
#include "backend/gateway/nat_counters.h"
#include "backend/gateway/nat_packet.h"
#include "backend/gateway/nat_reply.h"
#include "backend/gateway/udp_flow_table.h"
#include "backend/gateway/udp_socket.h"
#include "switch/network/network_config.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

// A socket of the host that stands for a guest's address and port.
struct UdpMapping {
  FlowKey endpoint;  // of the guest alone
  bool v6 = false;
  std::size_t flows = 0;
  bool is_forward = false;
  std::string forward;  // its name; empty if it is none
  SocketName listens;   // where, if it is one
  bool on_all_addresses = false;
  bool bursts = false;
  bool unfragmented = false;
  bool parked = false;  // nothing is read
  Time asked{0};        // when the network was asked for the guest
  UniqueFd fd;
  EventLoop::Watch watch;  // after fd: it must end first
};

class UdpRelay {
 public:
  // Who decides what the relay only carries out.
  class Gate {
   public:
    virtual ~Gate() = default;
    // Whether the packet may open a flow; if not, its guest has been told. `account` is to be given
    // back when the flow ends.
    virtual bool admit_datagram(const NatPacket& packet, std::uint64_t& account) = 0;
    virtual void flow_ended(std::uint64_t account) = 0;
    virtual void refuse(const NatPacket& packet, NatEvent reason) = 0;
    virtual std::optional<MacAddress> mac_of_guest(const IpAddress& guest) = 0;
    // Somebody waits for this guest, and nobody knows it: learned() when it is known.
    virtual void guest_wanted(const IpAddress& guest) = 0;
    virtual MacAddress router_mac() const = 0;
  };

  static Result<std::unique_ptr<UdpRelay>> create(EventLoop& loop, Gate& gate, GuestOutput& output,
                                                  NatCounters& counters);
  ~UdpRelay();
  UdpRelay(const UdpRelay&) = delete;
  UdpRelay& operator=(const UdpRelay&) = delete;

  // Outbound addresses hold for sockets to come.
  void set_network(const NetworkConfig& config);

  // A datagram, or with `step` many of that length but for the last. Its bytes must stay until
  // flush().
  void from_guest(const NatPacket& packet, std::size_t step = 0);
  void flush();

  void expire(Time now);
  // There is room for frames to guests again.
  void resume();
  void learned(const AddressKey& guest);

  // 0 or an errno. `port` counts from the first of the range.
  int listen(const ForwardConfig& forward, std::uint16_t port, const IpAddress& guest);
  void unlisten(const ForwardConfig& forward, std::uint16_t port);

  std::vector<Flow> flows() const;
  const UdpFlowTable& table() const { return flows_; }
  std::size_t sockets() const { return mappings_.size() + forwards_.size(); }

 private:
  UdpRelay(EventLoop& loop, Gate& gate, GuestOutput& output, NatCounters& counters,
           std::unique_ptr<UdpReceiver> receiver);

  // To the host (udp_relay.cpp).
  UdpFlow* open(const NatPacket& packet);
  UdpMapping* mapping_for(const FlowKey& key, bool v6);
  UdpMapping* make_mapping(const FlowKey& endpoint, bool v6);
  Result<UniqueFd> open_socket(bool v6);
  bool make_room(bool needed);
  void forget(UdpFlow& flow);
  void release(const UdpFlow& flow);
  void send_runs(UdpMapping& mapping, std::span<DatagramRuns::Run* const> runs);
  void send_singly(UdpMapping& mapping, DatagramRuns::Run& run);
  void run_failed(UdpMapping& mapping, DatagramRuns::Run& run, int code);
  void not_sent(const DatagramRuns::Run& run, int code);

  // To guests (udp_to_guest.cpp).
  void on_events(UdpMapping& mapping, std::uint32_t events);
  bool guest_is_known(UdpMapping& mapping);
  void park(UdpMapping& mapping);
  void deliver(UdpMapping& mapping, std::span<UdpReceiver::Received> received);
  std::optional<FlowKey> key_of(const UdpMapping& mapping, const SocketName& from) const;
  UdpFlow* open_incoming(UdpMapping& mapping, const FlowKey& key,
                         const UdpReceiver::Received& first);
  void send_to_guest(const UdpFlow& flow, const UdpReceiver::Received& received);
  void pass_errors(UdpMapping& mapping);
  std::uint32_t mtu_of_way(UdpMapping& mapping);
  std::optional<UdpError> next_error(UdpMapping& mapping);
  void pass_error(const UdpMapping& mapping, const UdpError& error);
  void tell_guest(const DatagramOfGuest& about, const IpAddress& from, const IcmpError& error,
                  std::span<const std::uint8_t> payload);
  std::optional<IpAddress> router(bool v6) const;

  static FlowKey endpoint_of(const FlowKey& key);

  EventLoop& loop_;
  Gate& gate_;
  GuestOutput& output_;
  NatCounters& counters_;
  std::optional<Ipv4Address> router4_;
  std::optional<Ipv6Address> router6_;
  std::optional<Ipv4Prefix> subnet4_;
  std::optional<Ipv6Prefix> subnet6_;
  std::optional<IpAddress> outbound4_;
  std::optional<IpAddress> outbound6_;
  std::size_t sockets_max_;

  UdpFlowTable flows_;
  UdpFlow* newest_ = nullptr;  // the flow of the datagram before
  std::unordered_map<FlowKey, std::unique_ptr<UdpMapping>, FlowKeyHash> mappings_;
  std::unordered_multimap<FlowKey, std::unique_ptr<UdpMapping>, FlowKeyHash> forwards_;
  std::vector<UdpMapping*> parked_;

  DatagramRuns runs_;
  UdpSender sender_;
  std::unique_ptr<UdpReceiver> receiver_;
  // Used again in each turn.
  std::vector<DatagramRuns::Run*> group_;
  std::vector<iovec> parts_;
  std::vector<UdpSender::Message> messages_;
  std::vector<std::pair<DatagramRuns::Run*, int>> failed_;  // with the errno
  std::vector<std::uint8_t> quoted_;

  std::uint16_t identification_ = 0;
  RateLimit errors_limit_{200, std::chrono::seconds(1)};
};

}  // namespace lanyard
