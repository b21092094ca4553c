// SPDX-License-Identifier: MIT
#include "switch/daemon/network.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "switch/base/text.h"
#include "switch/bridge/spanning_tree.h"
#include "switch/control/gateway_pages.h"
#include "switch/daemon/network_guards.h"
#include "switch/daemon/network_warnings.h"
#include "switch/network/config_json.h"
#include "switch/network/rpc_methods.h"

namespace lanyard {
namespace {

constexpr std::size_t kLeasesMax = 65536;

MacAddress random_mac(const RandomNumbers& random) {
  constexpr std::uint64_t kPrefix = 0x00ff00000000;
  return MacAddress::from_number(kPrefix | (random.next() & 0xffffffff));
}

std::string text_in(const Json& object, const char* key) {
  const Json value = object.value(key, Json());
  return value.is_string() ? value.get<std::string>() : std::string();
}

}  // namespace

Network::Network(NetworkConfig config, NetworkEnvironment& environment, const SwitchRecord* before)
    : config_(std::move(config)), environment_(environment) {
  Switch::Settings settings;
  settings.mac = random_mac(environment_.random);
  settings.ports_max = std::max<PortId>(config_.ports_max, HostLeg::kPort);
  settings.hash_secret = environment_.random.next();
  switch_ = std::make_unique<Switch>(settings, environment_.pool, *this);
  lane_ = std::make_unique<Lane>(*switch_, environment_.pool, environment_.loop, environment_.log);
  environment_.lanes.add(*lane_);
  lane_->on_commit = environment_.commit;
  lane_->on_change = environment_.changed;
  plugins_ = std::make_unique<NetworkPlugins>(config_.name, *switch_, *lane_, environment_.backends,
                                              environment_.log);
  if (before != nullptr) return;
  for (const PortId id : {kGatewayPort, HostLeg::kPort}) {
    if (Result<Port*> port = switch_->create_port(id); port) port.value()->reserved = true;
  }
  apply_guards(config_, *switch_, environment_.log);
}

Network::~Network() {
  closing_ = true;
  plugins_.reset();
  gateway_.reset();
  gateway_plug_.reset();
  host_.reset();
  plugs_.clear();
  sockets_.clear();
  environment_.lanes.remove(*lane_);
  lane_.reset();
}

Result<void> Network::make_vlans() {
  for (const std::uint16_t vlan : config_.vlans) {
    if (Result<void> made = switch_->vlans().create(vlan); !made) return made;
  }
  set_spanning_tree(config_);
  return {};
}

Result<void> Network::open_plug(const std::string& url) {
  std::unique_ptr<Attachment> plug = attach_plug();
  const Result<BackendOptions> options = BackendOptions::parse(url);
  Result<void> opened =
      options ? environment_.backends.open(options.value(), *plug) : Result<void>(options.error());
  if (!opened) {
    return Error{opened.error().code,
                 fmt::format("network {}: {}", config_.name, opened.error().text)};
  }
  plugs_.emplace(url, std::move(plug));
  return {};
}

void Network::close_plug(const std::string& url) {
  if (const auto found = plugs_.find(url); found != plugs_.end()) plugs_.erase(found);
}

Result<Network::Socket> Network::make_socket(const SocketConfig& socket) {
  BackendOptions vde("vde", socket.path);
  vde.set("mode", socket.mode);
  if (!socket.group.empty()) vde.set("group", socket.group);
  Socket made;
  made.config = std::make_shared<SocketConfig>(socket);
  made.attachment = attach_socket(made.config);
  if (Result<void> opened = environment_.backends.open(vde, *made.attachment); !opened) {
    return Error{opened.error().code,
                 fmt::format("network {}: {}", config_.name, opened.error().text)};
  }
  return made;
}

std::unique_ptr<Attachment> Network::attach_socket(const std::shared_ptr<SocketConfig>& config) {
  return std::make_unique<Attachment>(*lane_,
                                      [this, config](Plug& plug) { on_plugged(plug, *config); });
}

std::unique_ptr<Attachment> Network::attach_plug() {
  return std::make_unique<Attachment>(*lane_, [this](Plug& made) {
    if (!resuming_) guard_plug(config_, *switch_, made, false);
  });
}

Result<void> Network::open_socket(const SocketConfig& socket) {
  Result<Socket> made = make_socket(socket);
  if (!made) return made.error();
  sockets_.insert_or_assign(socket.path, made.take());
  return {};
}

Result<void> Network::rehearse_socket(const SocketConfig& socket) {
  SocketConfig beside = socket;
  beside.path += ".new";
  const Result<Socket> made = make_socket(beside);
  if (!made) return made.error();
  return {};
}

// Behind the gateway and the host's own interface is no switch.
void Network::set_spanning_tree(const NetworkConfig& wanted) {
  SpanningTree& tree = switch_->spanning_tree();
  tree.set_priority(wanted.spanning_tree_priority);
  tree.set_edge(0, kGatewayPort, wanted.needs_gateway());
  tree.set_edge(0, HostLeg::kPort, wanted.host.has_value());
  if (!wanted.spanning_tree) return tree.stop();
  if (Result<void> started = tree.start(); !started) {
    environment_.log.warning("network {}: {}", config_.name, started.error().text);
  }
}

// A port has the VLAN of the socket its client came by, unless the operator has said otherwise.
void Network::on_plugged(const Plug& plug, const SocketConfig& socket) {
  if (resuming_) return;
  guard_plug(config_, *switch_, plug, socket.trusted);
  const PortId port = plug.port().id();
  const VlanId vlan = socket.vlan;
  if (vlan == 0 && socket_vlan_ports_.erase(port) == 0) return;
  if (vlan != 0) socket_vlan_ports_.insert(port);
  if (Result<void> set = switch_->set_native_vlan(port, vlan); !set) {
    environment_.log.warning("network {}, port {}: {}", config_.name, port, set.error().text);
  }
}

Result<void> Network::open_host(const NetworkConfig& wanted) {
  Result<std::unique_ptr<HostLeg>> leg =
      HostLeg::open(wanted, environment_.backends, environment_.spawner, *lane_);
  if (!leg) {
    return Error{leg.error().code, fmt::format("network {}: {}", config_.name, leg.error().text)};
  }
  host_ = leg.take();
  return {};
}

// ---- the gateway ----

Json Network::gateway_parameters(const NetworkConfig& config) const {
  Json network = to_json(config);
  // None of its business; one that has come from an older program would not know the key.
  network.erase("plugins");
  return {{"network", std::move(network)}, {"state_directory", environment_.state_directory}};
}

void Network::make_gateway() {
  GatewayProcess::Callbacks callbacks;
  callbacks.plug = [this](UniqueFd frames) { return plug_gateway(std::move(frames)); };
  callbacks.unplug = [this] { gateway_plug_.reset(); };
  callbacks.configuration = [this] {
    return gateway_parameters(starting_with_ != nullptr ? *starting_with_ : config_);
  };
  callbacks.event = [this](const Json& event) { on_gateway_event(event); };
  callbacks.changed = [this](bool serving, std::string_view why) {
    on_gateway_changed(serving, why);
  };
  gateway_ =
      std::make_unique<GatewayProcess>(environment_.loop, environment_.log, environment_.spawner,
                                       config_.name, std::move(callbacks));
}

void Network::start_gateway(Done done) {
  if (!config_.needs_gateway()) return done({});
  make_gateway();
  gateway_->start(std::move(done));
}

void Network::start_gateway_for(const NetworkConfig& wanted, Done done) {
  // The gateway asks for its configuration until it serves, and nothing adopts it before.
  const auto kept = std::make_shared<NetworkConfig>(wanted);
  starting_with_ = kept.get();
  make_gateway();
  gateway_->start([this, kept, done = std::move(done)](const Result<void>& started) {
    starting_with_ = nullptr;
    done(started);
  });
}

void Network::end_gateway() {
  gateway_.reset();
  gateway_plug_.reset();
  leases_.clear();
}

Result<void> Network::plug_gateway(UniqueFd frames) {
  gateway_plug_ = std::make_unique<Attachment>(*lane_, nullptr);
  BackendOptions options("gateway", std::to_string(frames.get()));
  options.set("port", std::to_string(kGatewayPort));
  // The backend takes the descriptor, also when it fails.
  (void)frames.release();
  return environment_.backends.open(options, *gateway_plug_);
}

void Network::configure_gateway(const NetworkConfig& wanted, Done done) {
  if (gateway_ == nullptr) return done({});
  const bool is_other = wanted != config_;
  gateway_->configure(gateway_parameters(wanted), [this, is_other, done = std::move(done)](
                                                      const RpcError* error, const Json&) {
    // Answers come in order: what was done to forwards until now was before this.
    adoption_near_ = is_other && error == nullptr;
    later_.clear();
    if (error == nullptr) return done({});
    done(Error{EIO, fmt::format("network {}: {}", config_.name, error->message)});
  });
}

GatewayState Network::gateway() const {
  if (gateway_ != nullptr) return gateway_->state();
  GatewayState none;
  none.wanted = config_.needs_gateway();
  return none;
}

void Network::ask_gateway(std::string_view method, const Json& params, GatewayReply reply) {
  if (gateway_ != nullptr) return gateway_->ask(method, params, std::move(reply));
  const RpcError error{RpcCode::failed, fmt::format("network {} has no gateway", config_.name)};
  reply(&error, nullptr);
}

void Network::on_gateway_changed(bool serving, std::string_view why) {
  const GatewayState state = gateway_->state();
  if (serving) {
    environment_.log.notice("the gateway of {} serves (pid {})", config_.name, state.pid);
    publish("gateway.started", {{"pid", state.pid}, {"restarts", state.restarts}});
    fetch_leases();
  } else {
    publish("gateway.ended", {{"text", why}});
  }
}

void Network::on_gateway_event(const Json& event) {
  const std::string kind = text_in(event, "kind");
  const auto kinds = rpc_event_kinds();
  if (std::none_of(kinds.begin(), kinds.end(), [&](const auto& k) { return k.kind == kind; })) {
    return;
  }
  if (kind == "lease.granted") note_lease(event);
  if (kind == "lease.ended") {
    if (const auto mac = MacAddress::parse(text_in(event, "mac"))) {
      leases_.erase(mac->number());
      bind_lease(*switch_, kGatewayPort, *mac, text_in(event, "address"), false,
                 environment_.loop.now());
    }
  }
  publish(kind, event);
}

void Network::fetch_leases() {
  const AskGateway ask = [this](std::string_view method, const Json& params, GatewayReply reply) {
    if (gateway_ != nullptr) gateway_->ask(method, params, std::move(reply));
  };
  ask_gateway_pages(ask, "lease.list", "leases",
                    [this, first = true](const GatewayPage& page) mutable {
                      if (page.error != nullptr || closing_) return;
                      if (std::exchange(first, false)) leases_.clear();
                      for (const Json& lease : page.rows) note_lease(lease);
                    });
}

void Network::note_lease(const Json& lease) {
  if (!lease.is_object() || leases_.size() >= kLeasesMax) return;
  const auto mac = MacAddress::parse(text_in(lease, "mac"));
  if (!mac) return;
  leases_[mac->number()] = Lease{text_in(lease, "address"), text_in(lease, "name")};
  const std::string state = text_in(lease, "state");
  if (!state.empty() && state != "bound") return;
  bind_lease(*switch_, kGatewayPort, *mac, text_in(lease, "address"), true,
             environment_.loop.now());
}

std::string Network::guest_name(MacAddress mac) const {
  for (const HostConfig& host : config_.hosts) {
    if (host.mac == mac) return host.name;
  }
  const auto found = leases_.find(mac.number());
  return found == leases_.end() ? std::string() : found->second.name;
}

std::vector<std::string> Network::warnings() const {
  return network_warnings(config_, gateway());
}

// ---- changes at run time ----

void Network::forward_added(const ForwardConfig& forward) {
  change_forwards([forward](std::vector<ForwardConfig>& forwards) {
    std::erase_if(forwards, [&](const ForwardConfig& f) { return f.name == forward.name; });
    forwards.push_back(forward);
  });
}

void Network::forward_deleted(std::string_view name) {
  change_forwards([name = std::string(name)](std::vector<ForwardConfig>& forwards) {
    std::erase_if(forwards, [&](const ForwardConfig& f) { return f.name == name; });
  });
}

void Network::change_forwards(const ForwardChange& change) {
  change(config_.forwards);
  if (adoption_near_) later_.push_back(change);
  if (environment_.changed) environment_.changed();
}

Result<void> Network::create_vlan(VlanId vlan) {
  Result<void> made = switch_->vlans().create(vlan);
  if (!made) return made;
  config_.vlans.insert(std::lower_bound(config_.vlans.begin(), config_.vlans.end(), vlan), vlan);
  return {};
}

Result<void> Network::delete_vlan(VlanId vlan) {
  Result<void> removed = switch_->vlans().remove(vlan);
  if (removed) std::erase(config_.vlans, vlan);
  return removed;
}

Result<void> Network::add_plugin(const std::string& text) {
  NetworkConfig wanted = config_;
  wanted.plugins.push_back(text);
  if (Result<void> permitted = environment_.permits(wanted); !permitted) return permitted;
  if (Result<void> loaded = load_plugins(wanted); !loaded) return loaded;
  config_.plugins = std::move(wanted.plugins);
  return {};
}

Result<void> Network::delete_plugin(std::string_view name) {
  const std::string* const text = plugins_->find_text(name);
  if (text == nullptr) {
    return Error{ENOENT, fmt::format("network {} has no plugin {}", config_.name, printable(name))};
  }
  NetworkConfig wanted = config_;
  std::erase(wanted.plugins, *text);
  if (Result<void> gone = load_plugins(wanted); !gone) return gone;
  config_.plugins = std::move(wanted.plugins);
  return {};
}

// With its members: their untagged frames are in no VLAN afterwards, as at the start.
void Network::remove_vlan(VlanId vlan) {
  for (const VlanMember& member : switch_->vlans().members(vlan)) {
    if (member.tagged) {
      if (Result<void> gone = switch_->remove_from_vlan(vlan, member.port); gone) continue;
    } else if (Result<void> gone = switch_->set_native_vlan(member.port, 0); gone) {
      socket_vlan_ports_.erase(member.port);
      continue;
    }
  }
  switch_->macs().flush_vlan(vlan);
  if (Result<void> removed = switch_->vlans().remove(vlan); !removed) {
    environment_.log.warning("network {}: {}", config_.name, removed.error().text);
  }
}

Result<void> Network::check_ports(const NetworkConfig& wanted) const {
  const PortId ports = std::max<PortId>(wanted.ports_max, HostLeg::kPort);
  Result<void> fits;
  switch_->for_each_port([&](const Port& port) {
    if (port.id() <= ports || !port.active()) return;
    fits = Error{EBUSY, fmt::format("network {} cannot have {} ports: somebody is plugged in at "
                                    "port {}",
                                    config_.name, ports, port.id())};
  });
  return fits;
}

void Network::adopt(const NetworkConfig& wanted) {
  for (const VlanId vlan : config_.vlans) {
    const bool kept =
        std::find(wanted.vlans.begin(), wanted.vlans.end(), vlan) != wanted.vlans.end();
    if (!kept && switch_->vlans().exists(vlan)) remove_vlan(vlan);
  }
  for (const VlanId vlan : wanted.vlans) {
    if (switch_->vlans().exists(vlan)) continue;
    if (Result<void> made = switch_->vlans().create(vlan); !made) {
      environment_.log.warning("network {}: {}", config_.name, made.error().text);
    }
  }
  const PortId ports = std::max<PortId>(wanted.ports_max, HostLeg::kPort);
  for (std::size_t id = std::size_t{ports} + 1; id <= switch_->ports_max(); ++id) {
    const auto port = static_cast<PortId>(id);
    if (switch_->port(port) == nullptr) continue;
    if (Result<void> removed = switch_->remove_port(port); removed) socket_vlan_ports_.erase(port);
  }
  if (Result<void> sized = switch_->set_ports_max(ports); !sized) {
    environment_.log.warning("network {}: {}", config_.name, sized.error().text);
  }
  for (const SocketConfig& socket : wanted.sockets) {
    const auto found = sockets_.find(socket.path);
    if (found != sockets_.end()) *found->second.config = socket;
  }
  const bool other_guards = wanted.guard != config_.guard || wanted.hosts != config_.hosts;
  set_spanning_tree(wanted);
  if (other_guards) apply_guards(wanted, *switch_, environment_.log);
  NetworkConfig adopted = wanted;
  config_ = std::move(adopted);
  for (const ForwardChange& change : later_) change(config_.forwards);
  later_.clear();
  adoption_near_ = false;
}

// ---- events ----

void Network::publish(std::string_view kind, Json params) const {
  if (closing_ || !environment_.publish) return;
  params["network"] = config_.name;
  environment_.publish(kind, std::move(params));
}

void Network::report_move(const Event& event) {
  if (!moves_.allow(environment_.loop.now())) return;
  environment_.log.notice("{}: MAC {} moved from port {} to port {}", config_.name,
                          event.mac.text(), event.port, event.other);
  publish("station.moved", {{"mac", event.mac.text()},
                            {"vlan", event.vlan},
                            {"from", event.port},
                            {"port", event.other}});
}

void Network::report_guard(const Event& event) {
  const bool shut = event.kind == Event::Kind::guard_shut;
  const DropText& why = kDropTexts[static_cast<std::size_t>(event.why)];
  if (shut || violations_.allow(environment_.loop.now())) {
    environment_.log.notice("{}: port {}{}: {} ({} frames, the last from {})", config_.name,
                            event.port, shut ? ", its cable is pulled" : "", why.sentence,
                            event.count, event.mac.text());
  }
  publish(shut ? "guard.shut" : "guard.dropped", {{"port", event.port},
                                                  {"reason", why.name},
                                                  {"frames", event.count},
                                                  {"mac", event.mac.text()},
                                                  {"vlan", event.vlan}});
}

void Network::on_event(const Event& event) {
  if (plugins_ != nullptr) plugins_->on_event(event);
  switch (event.kind) {
    case Event::Kind::endpoint_added: {
      const Plug* const plug = switch_->port(event.port)->find_plug(event.endpoint_id);
      publish("port.up", {{"port", event.port},
                          {"label", plug == nullptr ? "" : printable(plug->traits().description)}});
      break;
    }
    case Event::Kind::port_emptied: publish("port.down", {{"port", event.port}}); break;
    case Event::Kind::link_changed:
      publish("link.changed", {{"port", event.port},
                               {"state", switch_->port(event.port)->link_up ? "up" : "down"}});
      break;
    case Event::Kind::mac_moved: report_move(event); break;
    case Event::Kind::guard_dropped:
    case Event::Kind::guard_shut: report_guard(event); break;
    case Event::Kind::tree_guarded:
      environment_.log.warning("{}: port {}, VLAN {}: {}", config_.name, event.port, event.vlan,
                               event.text);
      break;
    default: break;
  }
}

}  // namespace lanyard
