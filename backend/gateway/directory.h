// SPDX-License-Identifier: MIT
//
// The GuestDirectory of a running gateway: the hosts of the configuration, then leases, then what
// neighbours were seen. Gateway thread only.
#pragma once

#include <vector>

#include "backend/gateway/dhcp_server.h"
#include "backend/gateway/guest_directory.h"
#include "backend/gateway/neighbour_table.h"
#include "switch/network/network_config.h"

namespace lanyard {

class Directory final : public GuestDirectory {
 public:
  explicit Directory(const NeighbourTable& neighbours) : neighbours_(neighbours) {}

  void set_hosts(std::vector<HostConfig> hosts) { hosts_ = std::move(hosts); }
  void set_dhcp(const DhcpServer* dhcp) { dhcp_ = dhcp; }  // null: there is none

  std::vector<IpAddress> addresses_of(std::string_view name) const override;
  std::optional<std::string> name_of(const IpAddress& address) const override;
  std::optional<MacAddress> mac_of(const IpAddress& address) const override;

 private:
  const NeighbourTable& neighbours_;
  const DhcpServer* dhcp_ = nullptr;
  std::vector<HostConfig> hosts_;
};

}  // namespace lanyard
