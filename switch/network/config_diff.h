// SPDX-License-Identifier: MIT
//
// What has to change to get from one configuration to another: per network, in sentences for
// people, and whether it can be done while the network runs. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "switch/network/network_config.h"

namespace lanyard {

struct ConfigChange {
  enum class Kind : std::uint8_t { network_added, network_removed, network_changed };
  Kind kind = Kind::network_changed;
  std::string network;  // empty: the daemon's own settings
  std::vector<std::string> sentences;
  // The network must be taken down and up (its subnet, its interface); guests keep their sockets
  // only where those stay.
  bool needs_restart = false;
};

// Sorted by network; empty when nothing changes.
std::vector<ConfigChange> diff(const Configuration& from, const Configuration& to);

}  // namespace lanyard
