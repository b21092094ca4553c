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

// The same thing of the host, whatever its options.
std::string_view place_of(std::string_view url) {
  return url.substr(0, url.find('?'));
}

void plan_sockets(const NetworkConfig& from, const NetworkConfig& to, ReloadPlan& plan) {
  for (const SocketConfig& socket : from.sockets) {
    if (!any(to.sockets, [&](const auto& s) { return same_place(s, socket); })) {
      plan.close.sockets.push_back({from.name, socket});
    }
  }
  for (const SocketConfig& socket : to.sockets) {
    if (!any(from.sockets, [&](const auto& s) { return same_place(s, socket); })) {
      plan.open.sockets.push_back({to.name, socket});
    }
  }
}

// The same URL can be there twice.
void plan_plugs(const NetworkConfig& from, const NetworkConfig& to, ReloadPlan& plan) {
  std::vector<std::string> before = from.plugs;
  for (const std::string& url : to.plugs) {
    const auto found = std::find(before.begin(), before.end(), url);
    if (found == before.end()) {
      plan.open.plugs.push_back({to.name, url});
    } else {
      before.erase(found);
    }
  }
  for (const std::string& url : before) plan.close.plugs.push_back({from.name, url});
}

void plan_change(const NetworkConfig& from, const NetworkConfig& to, ReloadPlan& plan) {
  plan.changed.push_back(to.name);
  plan_sockets(from, to, plan);
  plan_plugs(from, to, plan);
  if (!same_host(from, to)) {
    if (from.host) plan.close.hosts.push_back(from.name);
    if (to.host) plan.open.hosts.push_back(to.name);
  }
  if (from.needs_gateway() && !to.needs_gateway()) plan.end_gateways.push_back(to.name);
  if (!from.needs_gateway() && to.needs_gateway()) plan.start_gateways.push_back(to.name);
  if (from.needs_gateway() && to.needs_gateway()) plan.configure_gateways.push_back(to.name);
}

void plan_addition(const NetworkConfig& network, ReloadPlan& plan) {
  plan.added.push_back(network.name);
  if (network.host) plan.open.hosts.push_back(network.name);
  for (const SocketConfig& socket : network.sockets) {
    plan.open.sockets.push_back({network.name, socket});
  }
  for (const std::string& url : network.plugs) plan.open.plugs.push_back({network.name, url});
}

// Moves from one list to the other what has a namesake among `others`.
template <typename T, typename Same>
void move_namesakes(std::vector<T>& from, std::vector<T>& to, const std::vector<T>& others,
                    Same same) {
  std::erase_if(from, [&](const T& one) {
    if (!any(others, [&](const T& other) { return same(one, other); })) return false;
    to.push_back(one);
    return true;
  });
}

// Sorts out what is both closed and opened.
void plan_moves(const std::vector<NetworkConfig>& from, const std::vector<NetworkConfig>& to,
                ReloadPlan& plan) {
  Places gone;  // of removed networks
  for (const std::string& name : plan.removed) {
    const NetworkConfig& network = *find_network(from, name);
    if (network.host) gone.hosts.push_back(name);
    for (const SocketConfig& socket : network.sockets) gone.sockets.push_back({name, socket});
    for (const std::string& url : network.plugs) gone.plugs.push_back({name, url});
  }
  const Places opened = plan.open;
  Places& late = plan.close_moved;
  const auto sort_out = [&](auto member, auto same) {
    move_namesakes(plan.close.*member, late.*member, opened.*member, same);
    move_namesakes(gone.*member, late.*member, opened.*member, same);
    move_namesakes(plan.open.*member, plan.open_moved.*member, late.*member, same);
  };
  sort_out(&Places::sockets,
           [](const SocketStep& a, const SocketStep& b) { return a.socket.path == b.socket.path; });
  sort_out(&Places::plugs,
           [](const PlugStep& a, const PlugStep& b) { return place_of(a.url) == place_of(b.url); });
  const auto interface_of = [&](const std::vector<NetworkConfig>& networks,
                                const std::string& name) -> std::string_view {
    const NetworkConfig* const network = find_network(networks, name);
    return network != nullptr && network->host ? std::string_view(network->host->name) : "";
  };
  // A network has one host interface at a time: its port is the same.
  move_namesakes(plan.close.hosts, late.hosts, opened.hosts, [&](const auto& a, const auto& b) {
    return a == b || interface_of(from, a) == interface_of(to, b);
  });
  move_namesakes(gone.hosts, late.hosts, opened.hosts, [&](const auto& a, const auto& b) {
    return interface_of(from, a) == interface_of(to, b);
  });
  move_namesakes(plan.open.hosts, plan.open_moved.hosts, late.hosts,
                 [&](const auto& a, const auto& b) {
                   return a == b || interface_of(to, a) == interface_of(from, b);
                 });
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
      plan_addition(network, plan);
    } else if (*before != network) {
      plan_change(*before, network, plan);
    }
  }
  plan_moves(from, to, plan);
  plan_release(from, to, plan);
  return plan;
}

}  // namespace lanyard
