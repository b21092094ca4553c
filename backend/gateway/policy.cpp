// SPDX-License-Identifier: MIT
#include "backend/gateway/policy.h"

#include <algorithm>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr Ipv4Address kMetadata4 = Ipv4Address::from_number(0xa9fea9fe);  // 169.254.169.254
// fd00:ec2::254, where one cloud serves the same over IPv6.
constexpr Ipv6Address kMetadata6{
    Ipv6Address::Bytes{0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}};

std::optional<std::uint16_t> port_number(std::string_view text) {
  const auto number = parse_integer(text);
  if (!number || *number < 1 || *number > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

bool read_ports(std::string_view text, PolicyRule& rule) {
  const std::size_t dash = text.find('-');
  const auto first = port_number(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : port_number(text.substr(dash + 1));
  if (!first || !last || *first > *last) return false;
  rule.first_port = *first;
  rule.last_port = *last;
  return true;
}

// The address part and the ports part; the second is empty without ports. Of an IPv6 address
// without brackets the last colon belongs to the address, unless a prefix length stands before it.
std::pair<std::string_view, std::string_view> split_rule(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find("]:");
    if (end != std::string_view::npos) return {text.substr(1, end - 1), text.substr(end + 2)};
    if (text.ends_with(']')) return {text.substr(1, text.size() - 2), {}};
    return {text, {}};
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {text, {}};
  const std::size_t slash = text.find('/');
  const bool v6 = text.find(':') != colon || (slash != std::string_view::npos && colon < slash);
  if (v6 && (slash == std::string_view::npos || colon < slash)) return {text, {}};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

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

Result<PolicyRule> PolicyRule::parse(std::string_view text) {
  PolicyRule rule;
  const auto [address, ports] = split_rule(text);
  rule.prefix4 = Ipv4Prefix::parse(address);
  if (!rule.prefix4) rule.prefix6 = Ipv6Prefix::parse(address);
  const bool has_ports = address.size() != text.size() && !text.ends_with(']');
  if ((!rule.prefix4 && !rule.prefix6) || (has_ports && !read_ports(ports, rule))) {
    return Error{EINVAL, fmt::format("\"{}\" is no rule of a policy; write an address or a prefix, "
                                     "and if wanted :PORT or :FIRST-LAST behind it (behind an IPv6 "
                                     "address in brackets)",
                                     printable(text))};
  }
  return rule;
}

bool PolicyRule::matches(const IpAddress& address, std::uint16_t port) const {
  if (port < first_port || port > last_port) return false;
  if (address.is_v4()) return prefix4 && prefix4->contains(address.v4());
  return prefix6 && prefix6->contains(address.v6());
}

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
