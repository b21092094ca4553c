// SPDX-License-Identifier: MIT
//
// Who the guests are: names, hardware addresses and IP addresses of the hosts in the configuration
// and of the leases. DNS answers from it, forwards resolve their guests by it, and what is shown to
// people has names because of it. Gateway thread only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"

namespace lanyard {

class GuestDirectory {
 public:
  virtual ~GuestDirectory() = default;

  // By a guest's short name, in any case; empty when nobody is called that.
  virtual std::vector<IpAddress> addresses_of(std::string_view name) const = 0;
  virtual std::optional<std::string> name_of(const IpAddress& address) const = 0;
  virtual std::optional<MacAddress> mac_of(const IpAddress& address) const = 0;
};

}  // namespace lanyard
