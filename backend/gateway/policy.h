// SPDX-License-Identifier: MIT
//
// Where guests may go: the answer to "may this packet reach that address and port?".
//
// What makes it necessary: libslirp refuses the router address when asked to keep guests off the
// host's loopback, and nothing else. A guest that names 127.0.0.1, 0.0.0.0 or ::1 itself, or any
// neighbour in the IPv6 prefix, is connected to the host's own services. So every first packet of a
// flow is decided here, by compiled lists, before the engine sees it. Deny wins over allow, and
// what cannot be a destination at all is refused whatever the lists say. Gateway thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/gateway/nat_counters.h"
#include "switch/base/result.h"
#include "switch/network/network_config.h"
#include "switch/network/policy_rule.h"

namespace lanyard {

class Policy {
 public:
  // The sentence of an error names the rule.
  static Result<Policy> create(const NetworkConfig& config);

  // Why not; nullopt: it may.
  std::optional<NatEvent> refusal(const IpAddress& target, std::uint16_t port) const;

  // Whether the host's addresses matter, so that somebody has to keep them up to date.
  bool needs_host_addresses() const { return !host_addresses_allowed_; }
  void set_host_addresses(std::vector<IpAddress> addresses);

 private:
  Policy() = default;
  std::optional<NatEvent> refusal_of_kind(Ipv4Address target) const;
  std::optional<NatEvent> refusal_of_kind(const Ipv6Address& target) const;

  std::optional<Ipv4Prefix> subnet_;
  std::optional<Ipv6Prefix> subnet6_;
  std::optional<Ipv4Address> router_;
  std::optional<Ipv6Address> router6_;
  bool host_loopback_ = false;
  bool host_addresses_allowed_ = true;
  bool restricted_ = false;
  bool metadata_ = false;
  std::vector<PolicyRule> allow_;
  std::vector<PolicyRule> deny_;
  std::vector<IpAddress> host_addresses_;  // sorted
};

}  // namespace lanyard
