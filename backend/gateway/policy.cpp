// SPDX-License-Identifier: MIT
#include "backend/gateway/policy.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr Ipv4Address kMetadata4 = Ipv4Address::from_number(0xa9fea9fe);  // 169.254.169.254
// fd00:ec2::254, where one cloud serves the same over IPv6.
constexpr Ipv6Address kMetadata6{
    Ipv6Address::Bytes{0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}};

Result<std::vector<PolicyRule>> parse_rules(const std::vector<std::string>& texts) {
  std::vector<PolicyRule> rules;
  for (const std::string& text : texts) {
    auto rule = PolicyRule::parse(text);
    if (!rule) return rule.error();
    rules.push_back(rule.take());
  }
  return rules;
}

}  // namespace

Result<Policy> Policy::create(const NetworkConfig& config) {
  Policy policy;
  auto allow = parse_rules(config.policy.allow);
  if (!allow) return allow.error();
  auto deny = parse_rules(config.policy.deny);
  if (!deny) return deny.error();
  policy.allow_ = allow.take();
  policy.deny_ = deny.take();
  policy.subnet_ = config.subnet;
  policy.subnet6_ = config.subnet6;
  policy.router_ = config.router;
  policy.router6_ = config.router6;
  policy.host_loopback_ = config.policy.host_loopback;
  policy.host_addresses_allowed_ = config.policy.host_addresses;
  policy.restricted_ = config.policy.restricted;
  policy.metadata_ = config.policy.metadata;
  return policy;
}

std::optional<NatEvent> Policy::refusal_of_kind(Ipv4Address target) const {
  if (target.is_loopback()) return NatEvent::policy_loopback;
  if (target.number() >> 24 == 0) return NatEvent::policy_unspecified;
  if (target.is_broadcast()) return NatEvent::policy_broadcast;
  if (target.is_multicast()) return NatEvent::policy_multicast;
  if (target.number() >> 28 == 0xf) return NatEvent::policy_reserved;
  if (subnet_ && subnet_->contains(target)) {
    if (target == router_) {
      return host_loopback_ ? std::nullopt : std::optional(NatEvent::policy_router);
    }
    return target == subnet_->broadcast() ? NatEvent::policy_broadcast : NatEvent::policy_neighbour;
  }
  if (target == kMetadata4) {
    return metadata_ ? std::nullopt : std::optional(NatEvent::policy_metadata);
  }
  if (target.is_link_local()) return NatEvent::policy_link_local;
  return std::nullopt;
}

std::optional<NatEvent> Policy::refusal_of_kind(const Ipv6Address& target) const {
  if (target.is_unspecified()) return NatEvent::policy_unspecified;
  // ::1, ::ffff:a.b.c.d, and the ::a.b.c.d of old (RFC 4291 2.5.5.1), which nobody routes.
  if (target.is_loopback() || target.mapped_v4()) return NatEvent::policy_loopback;
  const auto& octets = target.bytes();
  if (std::all_of(octets.begin(), octets.begin() + 12, [](auto o) { return o == 0; })) {
    return NatEvent::policy_reserved;
  }
  if (target.is_multicast()) return NatEvent::policy_multicast;
  if (target.is_link_local()) return NatEvent::policy_link_local;
  if (subnet6_ && subnet6_->contains(target)) {
    if (target != router6_) return NatEvent::policy_neighbour;
    return host_loopback_ ? std::nullopt : std::optional(NatEvent::policy_router);
  }
  if (target == kMetadata6) {
    return metadata_ ? std::nullopt : std::optional(NatEvent::policy_metadata);
  }
  return std::nullopt;
}

std::optional<NatEvent> Policy::refusal(const IpAddress& target, std::uint16_t port) const {
  const auto kind = target.is_v4() ? refusal_of_kind(target.v4()) : refusal_of_kind(target.v6());
  if (kind) return kind;
  if (restricted_) return NatEvent::policy_restricted;
  if (!host_addresses_allowed_ &&
      std::binary_search(host_addresses_.begin(), host_addresses_.end(), target)) {
    return NatEvent::policy_host_address;
  }
  const auto matches = [&](const PolicyRule& rule) { return rule.matches(target, port); };
  if (std::any_of(deny_.begin(), deny_.end(), matches)) return NatEvent::policy_denied;
  if (!allow_.empty() && std::none_of(allow_.begin(), allow_.end(), matches)) {
    return NatEvent::policy_not_allowed;
  }
  return std::nullopt;
}

void Policy::set_host_addresses(std::vector<IpAddress> addresses) {
  std::sort(addresses.begin(), addresses.end());
  host_addresses_ = std::move(addresses);
}

}  // namespace lanyard
