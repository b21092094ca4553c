// SPDX-License-Identifier: MIT
#include "switch/daemon/network_guards.h"

#include <algorithm>

namespace lanyard {
namespace {

// Trusted ports are not inspected; the rest of what is set for guests does not concern them.
GuardSettings trusted_guard() {
  GuardSettings settings;
  settings.trusted = true;
  return settings;
}

std::string_view kind_of(const Plug& plug) {
  const std::string_view module = plug.traits().module;
  if (module == "unix prog") return "vde";
  return module == "tuntap" ? "tap" : module;
}

bool is_trusted_kind(const NetworkConfig& config, const Plug& plug) {
  const auto& kinds = config.guard.trusted;
  return std::find(kinds.begin(), kinds.end(), kind_of(plug)) != kinds.end();
}

void say_bindings(const NetworkConfig& config, BindingTable& bindings, Log& log) {
  bindings.unsay_all();
  const auto say = [&](const IpAddress& address, MacAddress mac) {
    if (Result<void> said = bindings.say(address, mac, kPortNone); !said) {
      log.warning("network {}: {}", config.name, said.error().text);
    }
  };
  for (const HostConfig& host : config.hosts) {
    if (host.mac && host.address) say(*host.address, *host.mac);
    if (host.mac && host.address6) say(*host.address6, *host.mac);
  }
  for (const BindingConfig& binding : config.guard.bindings) say(binding.address, binding.mac);
}

}  // namespace

void apply_guards(const NetworkConfig& config, Switch& bridge, Log& log) {
  Guards& guards = bridge.guards();
  const auto warn = [&](const Result<void>& done) {
    if (!done) log.warning("network {}: {}", config.name, done.error().text);
  };
  for (const BandwidthGroup& group : config.guard.groups) warn(guards.set_group(group));
  say_bindings(config, guards.bindings(), log);
  bridge.guard_by_default = config.guard.guests;
  bridge.for_each_port([&](Port& port) {
    if (port.guard_chosen) return;
    // A guest's port keeps the trust of the place where it was plugged in.
    const bool trusted = port.reserved || (port.active() && Guards::of(port).trusted);
    warn(bridge.set_guard(port.id(), trusted ? trusted_guard() : config.guard.guests));
  });
  for (const BandwidthGroup& group : guards.groups()) {
    const auto& wanted = config.guard.groups;
    const bool kept = std::any_of(wanted.begin(), wanted.end(),
                                  [&](const BandwidthGroup& g) { return g.name == group.name; });
    if (kept) continue;
    // One that ports of an operator's choice are still in stays.
    if (Result<void> removed = guards.remove_group(group.name); !removed) continue;
  }
}

void guard_plug(const NetworkConfig& config, Switch& bridge, const Plug& plug, bool trusted) {
  Port& port = plug.port();
  if (port.guard_chosen || port.reserved) return;
  const bool is_trusted = trusted || is_trusted_kind(config, plug);
  const Result<void> set =
      bridge.set_guard(port.id(), is_trusted ? trusted_guard() : config.guard.guests);
  // Its bandwidth group was checked with the configuration.
  if (!set) port.guard_chosen = false;
}

void bind_lease(Switch& bridge, PortId gateway, MacAddress mac, std::string_view address,
                bool given, Time now) {
  const std::optional<IpAddress> parsed = IpAddress::parse(address);
  if (!parsed) return;
  Binding binding;
  binding.address = *parsed;
  binding.vlan = bridge.vlans().native(gateway);
  binding.mac = mac;
  if (!given) {
    return bridge.guards().bindings().give_back(*parsed, binding.vlan, mac, kPortNone);
  }
  binding.port = bridge.macs().find(mac, binding.vlan);
  binding.origin = Binding::Origin::dhcp;
  bridge.guards().bindings().lease(binding, now);
}

}  // namespace lanyard
