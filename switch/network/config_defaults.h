// SPDX-License-Identifier: MIT
//
// What a network is when a file says little: VirtualBox's addresses for a NAT and a host-only
// network, and everything that follows from what was said. Also the leaves of a network as a list,
// by which files are written and values compared.
// Inside of switch/network only. Any thread.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "switch/network/config_values.h"

namespace lanyard {

// The keys that were written: "mtu", "dhcp.ranges".
using ConfigPresence = std::set<std::string, std::less<>>;

// The keys of a network as it stands in a file.
ConfigPresence config_presence(const Json& network);

// Fills in what is not present.
void resolve(NetworkConfig& network, const ConfigPresence& present);

struct ConfigLeaf {
  std::string key;  // "dhcp.ranges"
  bool live = false;
  ConfigJson value;
};
std::vector<ConfigLeaf> config_leaves(const NetworkConfig& network);

// Reads "control" and "network" of a whole file; the result is resolved and checked.
Configuration decode_configuration(const Json& tree, ConfigReport& report);

// Everything that reading a single value cannot see: what is outside of its network, is there
// twice, overlaps or does not fit its kind (config_check.cpp).
void check_configuration(const Configuration& configuration, ConfigReport& report);

}  // namespace lanyard
