// SPDX-License-Identifier: MIT
//
// Whether a subnet may be given to a network: not when the host already has an address in it or a
// route into it, because then one of the two would get the other's packets, and the user would look
// for the fault in the guest. Default routes and routes that lead nowhere (unreachable, blackhole)
// do not count, nor do link-local and multicast ranges, nor what belongs to the interface itself or
// to networks of this daemon.
// The decision is a function of two lists; read_host_ranges() makes one from the kernel. Any
// thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/network/network_config.h"

namespace lanyard {

// What the host has: a route, or the network of an address.
struct HostRange {
  IpAddress address;
  unsigned length = 0;
  std::string interface;  // empty: none
  std::string alias;      // of the interface
  bool is_route = true;   // else an address of the interface
};

// Addresses of all interfaces, and the routes of all tables that lead somewhere.
Result<std::vector<HostRange>> read_host_ranges();

// Each conflict as a sentence: "192.168.56.0/24 overlaps route 192.168.48.0/20 dev vboxnet0". The
// network's own interface does not count, nor do those whose alias names the process `pid`.
std::vector<std::string> overlaps(const NetworkConfig& network,
                                  const std::vector<HostRange>& ranges, long pid);

// EEXIST with the first conflict and what to do.
Result<void> check_overlap(const NetworkConfig& network);

}  // namespace lanyard
