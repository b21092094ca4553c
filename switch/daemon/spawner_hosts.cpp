// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_hosts.h"

#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {

void SpawnerHosts::clean_up() {
  HostInterface::clean_up(log_);
  Routing::clean_up(state_directory_, log_);
}

Result<void> SpawnerHosts::claim(const NetworkConfig& network) {
  const std::string& name = network.host->name;
  if (legs_.contains(name)) {
    return Error{EBUSY, fmt::format("{} serves another network already", name)};
  }
  if (legs_.size() >= kLegsMax) {
    return Error{EAGAIN, fmt::format("the host is part of {} networks already", legs_.size())};
  }
  Result<std::unique_ptr<HostInterface>> interface = HostInterface::claim(network, log_);
  if (!interface) return interface.error();
  legs_[name].interface = interface.take();
  return {};
}

Result<void> SpawnerHosts::set_up(const NetworkConfig& network) {
  const auto found = legs_.find(network.host->name);
  if (found == legs_.end() || found->second.routing != nullptr) {
    return Error{EINVAL, fmt::format("{} has not been claimed", network.host->name)};
  }
  Leg& leg = found->second;
  if (Result<void> up = leg.interface->set_up(); !up) return up;
  return network.kind == NetworkKind::routed ? start_routing(network, leg) : Result<void>();
}

Result<void> SpawnerHosts::start_routing(const NetworkConfig& network, Leg& leg) {
  Result<std::unique_ptr<Routing>> routing = Routing::start(network, state_directory_, log_);
  if (!routing) return routing.error();
  leg.routing = routing.take();
  Result<std::unique_ptr<RulesetWatch>> watch = RulesetWatch::create(
      loop_, [routing = leg.routing.get()] { routing->look_again(); },
      [routing = leg.routing.get()] { routing->look_at_legacy_tables(); });
  if (watch) leg.ruleset = watch.take();
  if (!watch) log_.warning("network {}: {}", network.name, watch.error().text);
  return {};
}

// The rules in the kernel still hold, and are made ours.
Result<void> SpawnerHosts::resume(const NetworkConfig& network) {
  const std::string& name = network.host->name;
  if (!legs_.contains(name)) {
    if (legs_.size() >= kLegsMax) return Error{EAGAIN, "there are too many networks"};
    Result<std::unique_ptr<HostInterface>> interface = HostInterface::resume(network, log_);
    if (!interface) return interface.error();
    legs_[name].interface = interface.take();
  }
  Leg& leg = legs_[name];
  if (network.kind != NetworkKind::routed || leg.routing != nullptr) return {};
  return start_routing(network, leg);
}

}  // namespace lanyard
