// SPDX-License-Identifier: MIT
#include "switch/network/policy_rule.h"

#include <cerrno>
#include <charconv>
#include <string>

#include "switch/base/text.h"

namespace lanyard {
namespace {

struct Parts {
  std::string network;
  std::optional<std::string_view> ports;
};

// Ports stand behind the last colon, if that can be none of an address.
Parts split(std::string_view text, std::size_t colon) {
  if (colon == std::string_view::npos) return {std::string(text), std::nullopt};
  return {std::string(text.substr(0, colon)), text.substr(colon + 1)};
}

Parts split_brackets(std::string_view text) {
  const std::size_t close = text.find(']');
  if (close == std::string_view::npos) return {};
  // The prefix length stands inside or outside.
  Parts parts = split(text.substr(close + 1), text.substr(close + 1).find(':'));
  if (!parts.network.empty() && parts.network.front() != '/') return {};
  parts.network.insert(0, text.substr(1, close - 1));
  return parts;
}

Parts split_rule(std::string_view text) {
  if (text.starts_with('[')) return split_brackets(text);
  const std::size_t slash = text.find('/');
  const std::size_t colon = text.find(':', slash == std::string_view::npos ? 0 : slash);
  const bool is_v6 = slash == std::string_view::npos && colon != text.rfind(':');
  return split(text, is_v6 ? std::string_view::npos : colon);
}

std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
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

}  // namespace

Result<PolicyRule> PolicyRule::parse(std::string_view text) {
  PolicyRule rule;
  const Parts parts = split_rule(text);
  rule.prefix4 = Ipv4Prefix::parse(parts.network);
  if (!rule.prefix4) rule.prefix6 = Ipv6Prefix::parse(parts.network);
  if ((!rule.prefix4 && !rule.prefix6) || (parts.ports && !read_ports(*parts.ports, rule))) {
    return Error{EINVAL, fmt::format("\"{}\" is no destination like \"10.0.0.0/8\", "
                                     "\"192.0.2.1:443\" or \"[2001:db8::/32]:80-89\"",
                                     printable(text))};
  }
  return rule;
}

bool PolicyRule::matches(const IpAddress& address, std::uint16_t port) const {
  if (port < first_port || port > last_port) return false;
  if (address.is_v4()) return prefix4 && prefix4->contains(address.v4());
  return prefix6 && prefix6->contains(address.v6());
}

}  // namespace lanyard
