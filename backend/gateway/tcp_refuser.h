// SPDX-License-Identifier: MIT
//
// Resets for TCP where nobody serves it: at the gateway's own addresses on networks without NAT.
// A guest that asks the name server by TCP there knows at once that it need not wait. Bounded, so
// that the gateway does not join in a flood. Time is a parameter. Gateway thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/gateway/nat_counters.h"
#include "switch/base/log.h"
#include "switch/base/time.h"
#include "switch/frame/mac_address.h"
#include "switch/frame/offload.h"
#include "switch/network/network_config.h"

namespace lanyard {

class TcpRefuser {
 public:
  void set_network(const NetworkConfig& config);
  // The frame with the reset, from `mac`; empty when nothing is to be said to what came. Its bytes
  // may be changed.
  std::vector<std::uint8_t> reset(std::span<std::uint8_t> frame, const Offload& offload,
                                  MacAddress mac, Time now);

 private:
  std::optional<Ipv4Prefix> subnet_;
  std::optional<Ipv6Prefix> subnet6_;
  NatCounters ignored_;
  RateLimit resets_{200, std::chrono::seconds(1)};
};

}  // namespace lanyard
