// SPDX-License-Identifier: MIT
#include "switch/daemon/reload_plan.h"

#include <algorithm>

namespace lanyard {
namespace {

bool same_place(const SocketConfig& a, const SocketConfig& b) {
  return a.path == b.path && a.mode == b.mode && a.group == b.group;
}

template <typename List, typename Test>
bool any(const List& list, Test test) {
  return std::any_of(list.begin(), list.end(), test);
}

// The host interface depends on more than its own section.
bool same_host(const NetworkConfig& a, const NetworkConfig& b) {
  const bool routed = a.kind == NetworkKind::routed;
  if (routed != (b.kind == NetworkKind::routed) || a.host != b.host) return false;
  return !routed || (a.subnet == b.subnet && a.subnet6 == b.subnet6 && a.uplink == b.uplink);
}

void plan_sockets(const NetworkConfig& from, const NetworkConfig& to, ReloadPlan& plan) {
  for (const SocketConfig& socket : from.sockets) {
    if (!any(to.sockets, [&](const auto& s) { return same_place(s, socket); })) {
      plan.close_sockets.push_back({from.name, socket});
    }
  }
  for (const SocketConfig& socket : to.sockets) {
    if (!any(from.sockets, [&](const auto& s) { return same_place(s, socket); })) {
      plan.open_sockets.push_back({to.name, socket});
    }
  }
}

void plan_change(const NetworkConfig& from, const NetworkConfig& to, ReloadPlan& plan) {
  plan.changed.push_back(to.name);
  plan_sockets(from, to, plan);
  if (!same_host(from, to)) {
    if (from.host) plan.close_hosts.push_back(from.name);
    if (to.host) plan.open_hosts.push_back(to.name);
  }
  if (from.needs_gateway() && !to.needs_gateway()) plan.end_gateways.push_back(to.name);
  if (!from.needs_gateway() && to.needs_gateway()) plan.start_gateways.push_back(to.name);
  if (from.needs_gateway() && to.needs_gateway()) plan.configure_gateways.push_back(to.name);
}

// Names that are both closed and opened.
void plan_first(const std::vector<NetworkConfig>& from, const std::vector<NetworkConfig>& to,
                ReloadPlan& plan) {
  std::vector<SocketStep> opened = plan.open_sockets;
  std::vector<std::string> interfaces;
  for (const std::string& name : plan.open_hosts) {
    interfaces.push_back(find_network(to, name)->host->name);
  }
  for (const std::string& name : plan.added) {
    const NetworkConfig& network = *find_network(to, name);
    for (const SocketConfig& socket : network.sockets) opened.push_back({name, socket});
    if (network.host) interfaces.push_back(network.host->name);
  }
  std::vector<SocketStep> closed = plan.close_sockets;
  std::vector<std::string> hosts = plan.close_hosts;
  for (const std::string& name : plan.removed) {
    const NetworkConfig& network = *find_network(from, name);
    for (const SocketConfig& socket : network.sockets) closed.push_back({name, socket});
    if (network.host) hosts.push_back(name);
  }
  for (const SocketStep& step : closed) {
    if (any(opened, [&](const auto& o) { return o.socket.path == step.socket.path; })) {
      plan.close_sockets_first.push_back(step);
    }
  }
  for (const std::string& name : hosts) {
    const std::string& interface = find_network(from, name)->host->name;
    // A changed network has one host interface at a time: its port is the same.
    const bool same_network = any(plan.open_hosts, [&](const auto& o) { return o == name; });
    if (same_network || any(interfaces, [&](const auto& i) { return i == interface; })) {
      plan.close_hosts_first.push_back(name);
    }
  }
}

void plan_release(const std::vector<NetworkConfig>& from, const std::vector<NetworkConfig>& to,
                  ReloadPlan& plan) {
  for (const NetworkConfig& holder : from) {
    const NetworkConfig* const later = find_network(to, holder.name);
    NetworkConfig kept = holder;
    std::erase_if(kept.forwards, [&](const ForwardConfig& forward) {
      if (later != nullptr && any(later->forwards, [&](const auto& f) { return f == forward; })) {
        return false;
      }
      return any(to, [&](const NetworkConfig& taker) {
        return taker.name != holder.name &&
               any(taker.forwards, [&](const auto& f) { return collide(f, forward); });
      });
    });
    if (kept != holder) plan.release.push_back(std::move(kept));
  }
}

}  // namespace

const NetworkConfig* find_network(const std::vector<NetworkConfig>& networks,
                                  std::string_view name) {
  const auto at = std::find_if(networks.begin(), networks.end(),
                               [&](const NetworkConfig& n) { return n.name == name; });
  return at == networks.end() ? nullptr : &*at;
}

bool collide(const ForwardConfig& a, const ForwardConfig& b) {
  if (!a.unix_path.empty() || !b.unix_path.empty()) return a.unix_path == b.unix_path;
  if (a.transport != b.transport) return false;
  const auto is_any = [](const IpAddress& address) {
    return address.is_v4() ? address.v4().is_unspecified() : address.v6().is_unspecified();
  };
  if (a.host_address != b.host_address && !is_any(a.host_address) && !is_any(b.host_address)) {
    return false;
  }
  return a.host_port < b.host_port + std::uint32_t{b.ports} &&
         b.host_port < a.host_port + std::uint32_t{a.ports};
}

ReloadPlan plan_reload(const std::vector<NetworkConfig>& from,
                       const std::vector<NetworkConfig>& to) {
  ReloadPlan plan;
  for (const NetworkConfig& network : from) {
    if (find_network(to, network.name) == nullptr) plan.removed.push_back(network.name);
  }
  for (const NetworkConfig& network : to) {
    const NetworkConfig* const before = find_network(from, network.name);
    if (before == nullptr) {
      plan.added.push_back(network.name);
    } else if (*before != network) {
      plan_change(*before, network, plan);
    }
  }
  plan_first(from, to, plan);
  plan_release(from, to, plan);
  return plan;
}

}  // namespace lanyard
