// SPDX-License-Identifier: MIT
//
// One network as it runs: a switch with its lane, and what hangs on it: the sockets where VMs plug
// in, the host's TAP, the gateway. Each of these can come and go without the others noticing,
// which is what a reload does; guests keep their cables.
//
// Port 1 is the gateway's and port 2 the host's in every network, so that neither is taken by a
// guest while it is away; guests come from 3 on. Lane thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "switch/base/random_numbers.h"
#include "switch/control/rpc_host.h"
#include "switch/daemon/attachment.h"
#include "switch/daemon/gateway_process.h"
#include "switch/daemon/handover_state.h"
#include "switch/daemon/host_leg.h"
#include "switch/daemon/network_plugins.h"
#include "switch/runtime/backend.h"

namespace lanyard {

// What all networks of a daemon share.
struct NetworkEnvironment {
  EventLoop& loop;
  LaneGroup& lanes;
  FramePool& pool;
  const BackendRegistry& backends;
  Spawner& spawner;
  const RandomNumbers& random;
  Log& log;
  std::string state_directory;
  std::function<void(std::string_view kind, Json params)> publish;
  // Of each lane's (see Lane::on_commit).
  std::function<void()> commit;
  std::function<void()> changed;
  // Whether the sandbox lets a network become so.
  std::function<Result<void>(const NetworkConfig& wanted)> permits;
};

class Network final : public RpcNetwork, public EventSink {
 public:
  using Done = std::function<void(const Result<void>&)>;

  static constexpr PortId kGatewayPort = 1;

  // With what it was in another process it has its ports, VLANs and guards from the beginning.
  Network(NetworkConfig config, NetworkEnvironment& environment,
          const SwitchRecord* before = nullptr);
  ~Network() override;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // The first step. After an error the network is good for nothing but its end.
  Result<void> make_vlans();
  // All that hangs on it, as it was in another process; what cannot be had again is logged.
  void resume(const SwitchRecord& before);
  SwitchRecord handover(HandoverReason why);
  // After a successor that had begun and has come to nothing.
  void call_gateway_back();
  // Calls back when the gateway serves, at once if there is none to start.
  void start_gateway(Done done);

  // ---- RpcNetwork ----
  const NetworkConfig& config() const override { return config_; }
  Switch& bridge() override { return *switch_; }
  Lane& lane() override { return *lane_; }
  GatewayState gateway() const override;
  void ask_gateway(std::string_view method, const Json& params, GatewayReply reply) override;
  std::string guest_name(MacAddress mac) const override;
  std::size_t lease_count() const override { return leases_.size(); }
  std::vector<std::string> warnings() const override;
  void forward_added(const ForwardConfig& forward) override;
  void forward_deleted(std::string_view name) override;
  Result<void> create_vlan(VlanId vlan) override;
  Result<void> delete_vlan(VlanId vlan) override;
  void vlan_chosen(PortId port) override { socket_vlan_ports_.erase(port); }
  std::vector<RpcPlugin> plugins() const override { return plugins_->rows(); }
  Result<void> add_plugin(const std::string& text) override;
  Result<void> delete_plugin(std::string_view name) override;
  Result<std::string> tell_plugin(std::string_view line) override { return plugins_->say(line); }
  void on_hangup_signal() { plugins_->on_hangup_signal(); }

  // ---- EventSink ----
  void on_event(const Event& event) override;
  bool wants_mac_events() const override {
    return plugins_ != nullptr && plugins_->wants_mac_events();
  }

  // ---- the steps of a reload, see network_change.h ----
  Result<void> open_socket(const SocketConfig& socket);
  void close_socket(const std::string& path) { sockets_.erase(path); }
  // Opens and closes the like of it beside its place, which another has.
  Result<void> rehearse_socket(const SocketConfig& socket);
  Result<void> open_plug(const std::string& url);
  void close_plug(const std::string& url);
  Result<void> open_host(const NetworkConfig& wanted);
  void close_host() { host_.reset(); }
  // All of them, or as before.
  Result<void> load_plugins(const NetworkConfig& wanted) {
    return plugins_->change_to(wanted.plugins);
  }
  Result<void> rehearse_plugins(const NetworkConfig& wanted) const {
    return plugins_->rehearse(wanted.plugins);
  }
  // Tells the gateway, which checks it; what runs stays what it was.
  void configure_gateway(const NetworkConfig& wanted, Done done);
  // Starts a gateway for a network that had none.
  void start_gateway_for(const NetworkConfig& wanted, Done done);
  void end_gateway();
  // Cannot fail: VLANs, number of ports, and what runs is from now on this. After std::bad_alloc it
  // can be done again.
  void adopt(const NetworkConfig& wanted);
  // Whether the switch can have as few ports.
  Result<void> check_ports(const NetworkConfig& wanted) const;

 private:
  using ForwardChange = std::function<void(std::vector<ForwardConfig>&)>;
  struct Lease {
    std::string address;
    std::string name;
  };
  struct Socket {
    std::shared_ptr<SocketConfig> config;
    std::unique_ptr<Attachment> attachment;
  };

  Result<Socket> make_socket(const SocketConfig& socket);
  std::unique_ptr<Attachment> attach_socket(const std::shared_ptr<SocketConfig>& config);
  std::unique_ptr<Attachment> attach_plug();
  Result<void> resume_part(const HandoverPart& part);
  void open_missing();
  std::string places_of_ports() const;
  void make_gateway();
  Json gateway_parameters(const NetworkConfig& config) const;
  Result<void> plug_gateway(UniqueFd frames);
  void on_gateway_event(const Json& event);
  void on_gateway_changed(bool serving, std::string_view why);
  void fetch_leases();
  void note_lease(const Json& lease);
  void on_plugged(const Plug& plug, const SocketConfig& socket);
  void report_guard(const Event& event);
  void report_move(const Event& event);
  void change_forwards(const ForwardChange& change);
  void remove_vlan(VlanId vlan);
  void set_spanning_tree(const NetworkConfig& wanted);
  void publish(std::string_view kind, Json params) const;

  NetworkConfig config_;
  NetworkEnvironment& environment_;
  std::unique_ptr<Switch> switch_;
  std::unique_ptr<Lane> lane_;
  std::unique_ptr<NetworkPlugins> plugins_;
  std::map<std::string, Socket> sockets_;  // by path
  std::unique_ptr<HostLeg> host_;
  std::multimap<std::string, std::unique_ptr<Attachment>> plugs_;  // by URL
  std::unique_ptr<Attachment> gateway_plug_;
  std::unique_ptr<GatewayProcess> gateway_;
  const NetworkConfig* starting_with_ = nullptr;  // while a reload starts a gateway
  // Since the gateway took what adopt() is going to bring: what was done to forwards is kept then.
  bool adoption_near_ = false;
  std::vector<ForwardChange> later_;
  std::map<std::uint64_t, Lease> leases_;  // by MAC address
  std::set<PortId> socket_vlan_ports_;     // whose VLAN is that of the socket they came by
  RateLimit violations_{10, std::chrono::seconds(5)};
  RateLimit moves_{10, std::chrono::seconds(5)};
  bool resuming_ = false;  // who is plugged in now was so before
  bool closing_ = false;
};

}  // namespace lanyard
