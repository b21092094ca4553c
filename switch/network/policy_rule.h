// SPDX-License-Identifier: MIT
//
// A destination as people write it in policy.allow and policy.deny: a network, and if wanted ports
// behind it. What makes it hard is that colons separate both ports and the parts of IPv6 addresses.
// The check of a configuration and the NAT read it by this one function, so what one accepts the
// other understands. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "switch/base/result.h"
#include "switch/network/ip_address.h"

namespace lanyard {

// "10.0.0.0/8", "192.0.2.1:443", "2001:db8::/32", "[2001:db8::1]:80-90", "[2001:db8::]/32:443".
struct PolicyRule {
  std::optional<Ipv4Prefix> prefix4;
  std::optional<Ipv6Prefix> prefix6;
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 65535;

  static Result<PolicyRule> parse(std::string_view text);
  bool matches(const IpAddress& address, std::uint16_t port) const;
};

}  // namespace lanyard
