// SPDX-License-Identifier: MIT
//
// What has to be opened, closed and told when networks change from one value to another. Pure, so
// that it can be tested without a single socket; reload.h carries it out. Any thread.
#pragma once

#include <string>
#include <vector>

#include "switch/network/network_config.h"

namespace lanyard {

struct SocketStep {
  std::string network;
  SocketConfig socket;
  friend bool operator==(const SocketStep&, const SocketStep&) = default;
};

struct PlugStep {
  std::string network;
  std::string url;
  friend bool operator==(const PlugStep&, const PlugStep&) = default;
};

// What comes or goes by its name on this host.
struct Places {
  std::vector<SocketStep> sockets;
  std::vector<std::string> hosts;  // names of networks
  std::vector<PlugStep> plugs;
  bool empty() const { return sockets.empty() && hosts.empty() && plugs.empty(); }
};

struct ReloadPlan {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> changed;  // by whatever

  // Of added and changed networks. A socket whose VLAN alone differs stays open.
  Places open;
  // Of changed networks; removed ones close everything by their end.
  Places close;

  // The same for what moves: it can only be opened when its namesake has been closed, and guests
  // notice that. So it comes last, when nothing else can fail. Of removed networks, too.
  Places close_moved;
  Places open_moved;

  // Networks whose gateways must let go of ports of the host first, because others are to have
  // them, and what they keep until then.
  std::vector<NetworkConfig> release;

  // Of changed networks.
  std::vector<std::string> start_gateways;
  std::vector<std::string> configure_gateways;
  std::vector<std::string> end_gateways;
};

ReloadPlan plan_reload(const std::vector<NetworkConfig>& from,
                       const std::vector<NetworkConfig>& to);

// Whether both listen at the same place of the host.
bool collide(const ForwardConfig& a, const ForwardConfig& b);

const NetworkConfig* find_network(const std::vector<NetworkConfig>& networks,
                                  std::string_view name);

}  // namespace lanyard
