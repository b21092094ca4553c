// SPDX-License-Identifier: MIT
//
// The Nat there is: what stands between guests and the engine, in the order in which a packet meets
// it:
//
//   frame -> sanitiser -> coalescer -> admission (flow table, policy, quota) -> order -> engine
//   engine -> flow table -> output (join, owe, fragment, wait for room) -> link
//
// Connections that guests open while the direct engine is chosen (tcp_engine.h) leave that way
// behind the sanitiser: sanitiser -> admission -> direct engine -> output. So does all UDP, by the
// relay (udp_relay.h).
//
// The engine is libslirp, so it is fed only what it can bear: segments in order (its reassembly
// has a bug that Debian 12 keeps), IPv6 not longer than its MTU, no packet for anything it serves
// itself. Segments that came too early are held a while, and the guest is told by repeated
// acknowledgements what is missing.
// Gateway thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/gateway/coalescer.h"
#include "backend/gateway/flow_table.h"
#include "backend/gateway/forwards.h"
#include "backend/gateway/frame_sanitiser.h"
#include "backend/gateway/guest_output.h"
#include "backend/gateway/host_addresses.h"
#include "backend/gateway/nat.h"
#include "backend/gateway/policy.h"
#include "backend/gateway/quota.h"
#include "backend/gateway/slirp_engine.h"
#include "backend/gateway/tcp_engine.h"
#include "backend/gateway/udp_relay.h"

namespace lanyard {

class NatTranslator final : public Nat,
                            private Coalescer::Sink,
                            private SlirpEngine::Observer,
                            private TcpEngine::Observer,
                            private UdpRelay::Gate,
                            private ForwardEngine {
 public:
  static Result<std::unique_ptr<Nat>> create(const NetworkConfig& config, Context context);
  ~NatTranslator() override;

  void input(std::span<Input> frames) override;
  Result<void> reconfigure(const NetworkConfig& config) override;
  Result<void> add_forward(const ForwardConfig& forward) override;
  Result<void> remove_forward(std::string_view name) override;
  std::vector<ForwardStatus> forwards() const override;
  std::vector<Flow> flows() const override;
  std::size_t flow_count() const override { return flows_.size() + udp_->table().size(); }
  void resume() override;
  void set_dns_tcp_ports(std::uint16_t loopback4, std::uint16_t loopback6) override;
  void guests_changed() override;
  std::vector<std::pair<std::string, std::uint64_t>> counters() const override;

 private:
  NatTranslator(const NetworkConfig& config, Context context, Policy policy);
  Result<void> start();
  Result<std::unique_ptr<HostAddressWatch>> watch_host_addresses(const Policy& policy);
  void sweep();
  void retry_forwards();
  void look_after_forwards();
  void end_idle_connections(Time now);
  void end_connection(FlowEntry& flow);

  // From guests (nat_input.cpp).
  void input_one(Input& input);
  void deliver(NatPacket& packet) override;
  void deliver_syn(NatPacket& packet, FlowEntry* flow);
  void deliver_segment(NatPacket& packet, FlowEntry& flow);
  FlowEntry* admit(const NatPacket& packet);
  bool grant(const NatPacket& packet, bool to_dns, std::uint64_t& account);
  std::optional<NatEvent> refusal(const NatPacket& packet) const;
  void refuse(const NatPacket& packet, NatEvent reason) override;
  bool hold(const NatPacket& packet, const FlowEntry& flow);
  void deliver_held(const FlowKey& key);
  void drop_held(const FlowKey& key);
  void feed(NatPacket& packet, FlowEntry& flow);
  void feed_chunks(NatPacket& packet, const FlowEntry& flow);
  bool dns_port_open(const NatPacket& packet) const;
  bool is_dns_address(const AddressKey& address) const;
  void learn(const AddressKey& guest, MacAddress mac);
  void acknowledge(const FlowEntry& flow, bool v6);

  // For the direct engine (nat_direct.cpp).
  bool takes_direct_way(const NatPacket& packet);
  void deliver_direct(const NatPacket& packet);
  void open_direct(const NatPacket& packet);
  TcpEngine::Target target_of(const FlowEntry& flow, bool v6) const;
  void connection_changed(const FlowKey& key, const TcpFlow& tcp) override;
  void say_unreachable(const NatPacket& packet, int code);
  void connection_unreachable(const FlowKey& key, std::uint32_t guest_sequence, int code) override;
  void connection_ended(const FlowKey& key) override;

  // From the engine (nat_output.cpp).
  void engine_sends(std::span<std::uint8_t> frame) override;
  void socket_opened(int fd) override;
  void socket_closed(int fd) override;
  std::optional<MacAddress> mac_of_guest(const IpAddress& guest) override;
  void guest_wanted(const IpAddress& guest) override;
  void engine_done() override;
  std::size_t sockets_elsewhere() const override { return direct_.size() + udp_->sockets(); }
  bool read_engine_frame(std::span<std::uint8_t> frame, NatPacket& packet) const;
  FlowEntry* flow_to_guest(NatPacket& packet);
  FlowEntry* open_by_forward(const NatPacket& packet);
  int accepted_from(std::uint16_t peer_port) const;
  void attach(FlowEntry& flow, int fd);
  void flow_gone(const FlowEntry& flow);

  // For UdpRelay; with refuse(), mac_of_guest() and guest_wanted().
  bool admit_datagram(const NatPacket& packet, std::uint64_t& account) override {
    return grant(packet, false, account);
  }
  void flow_ended(std::uint64_t account) override { quota_.give_back(account); }
  MacAddress router_mac() const override { return router_mac_; }

  // For Forwards.
  int listen(const ForwardConfig& forward, std::uint16_t port, const IpAddress& guest) override;
  void unlisten(const ForwardConfig& forward, std::uint16_t port) override;

  // A segment that came before its turn.
  struct Held {
    NatPacket packet;
    std::vector<std::uint8_t> bytes;
  };
  static constexpr std::size_t kHeldPerFlow = 64;
  static constexpr std::size_t kHeldBytesMax = 4 * 1024 * 1024;
  static constexpr std::size_t kGuestsMax = 4096;

  NetworkConfig config_;
  Context context_;
  NatCounters counters_;
  FrameSanitiser sanitiser_;
  Coalescer coalescer_;
  Policy policy_;
  Quota quota_;
  FlowTable flows_;
  GuestOutput output_;
  Forwards forwards_;
  std::unordered_map<FlowKey, std::vector<Held>, FlowKeyHash> held_;
  std::size_t held_bytes_ = 0;
  std::unordered_map<FlowKey, MacAddress, FlowKeyHash> macs_;  // by guest alone
  MacAddress router_mac_;
  std::uint16_t dns_port4_ = 0;
  std::uint16_t dns_port6_ = 0;
  int opened_fd_ = -1;           // the newest socket, while it is open
  std::vector<int> unattached_;  // accepted for forwards whose flow has not been seen yet
  RateLimit refusals_{200, std::chrono::seconds(1)};
  std::vector<std::uint8_t> scratch_;
  std::unique_ptr<HostAddressWatch> host_watch_;
  EventLoop::Timer sweep_;
  EventLoop::Timer retry_;       // of forwards that could not listen for a moment
  std::size_t flows_swept_ = 0;  // how many there were after the last sweep
  TcpEngine direct_;
  std::unique_ptr<UdpRelay> udp_;
  std::unique_ptr<SlirpEngine> engine_;  // last: it calls back while it ends
};

}  // namespace lanyard
