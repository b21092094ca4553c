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

struct ReloadPlan {
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> changed;  // by whatever

  // Of changed networks. A socket whose VLAN alone differs stays open.
  std::vector<SocketStep> open_sockets;
  std::vector<SocketStep> close_sockets;
  std::vector<std::string> open_hosts;  // names of networks
  std::vector<std::string> close_hosts;

  // What must be closed before anything is opened, because what is opened has the same name: of
  // changed and of removed networks.
  std::vector<SocketStep> close_sockets_first;
  std::vector<std::string> close_hosts_first;

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
