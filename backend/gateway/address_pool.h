// SPDX-License-Identifier: MIT
//
// Which addresses of a network may go to whom: ranges, reservations, and those that are the
// network's own. The next free one is found without looking through the taken ones again, because a
// flood of requests in a large network would make that the whole work. Gateway thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "backend/gateway/lease_table.h"
#include "switch/network/network_config.h"

namespace lanyard {

class AddressPool {
 public:
  // Holds pointers into `config`.
  AddressPool(const NetworkConfig& config, Ipv4Address server);

  const HostConfig* host_of(MacAddress mac) const;
  // Whoever the configuration has reserved it for.
  const HostConfig* reserved_for(Ipv4Address address) const;
  bool in_subnet(Ipv4Address address) const;
  // Whether that client (`host` is null for one the configuration does not know) may have it.
  bool permits(Ipv4Address address, const HostConfig* host) const;
  // The lowest that nobody has and nobody had.
  std::optional<Ipv4Address> next_free(const LeaseTable& table);
  // It has left the table.
  void returned(Ipv4Address address);

 private:
  bool in_ranges(Ipv4Address address) const;
  bool is_free(Ipv4Address address, const LeaseTable& table) const;

  const NetworkConfig& config_;
  std::unordered_map<std::uint64_t, const HostConfig*> by_mac_;
  std::unordered_map<std::uint32_t, const HostConfig*> reserved_;
  std::unordered_set<std::uint32_t> own_;
  std::size_t range_ = 0;     // where the search goes on
  std::uint64_t offset_ = 0;  // in that range
  std::set<Ipv4Address> returned_;
};

}  // namespace lanyard
