// SPDX-License-Identifier: MIT
#include "switch/host/ruleset.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::string_view kOwnerMark = "owned by process ";
constexpr std::string_view kStarted = " started ";

bool is_plain(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

std::string text_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// The objects of one kind in a list: "chain", "rule", "table".
std::vector<const Json*> objects(const Json& list, const char* kind) {
  std::vector<const Json*> found;
  if (!list.is_array()) return found;
  for (const Json& entry : list) {
    if (!entry.is_object()) continue;
    const auto at = entry.find(kind);
    if (at != entry.end() && at->is_object()) found.push_back(&*at);
  }
  return found;
}

std::string own_name(std::string_view network) {
  return fmt::format("inet {}{}", kTablePrefix, network);
}

struct Family {
  std::string_view protocol;  // as nft calls it in matches
  std::string_view nfproto;
  std::string subnet;  // empty: guests have none
};

std::array<Family, 2> families(const RoutedNetwork& network) {
  std::array<Family, 2> both{{{"ip", "ipv4", {}}, {"ip6", "ipv6", {}}}};
  if (const auto& subnet = network.subnet) {
    both[0].subnet = Ipv4Prefix{subnet->network(), subnet->length}.text();
  }
  if (const auto& subnet = network.subnet6) {
    both[1].subnet = Ipv6Prefix{subnet->network(), subnet->length}.text();
  }
  return both;
}

}  // namespace

Result<RoutedNetwork> routed_network(const NetworkConfig& network) {
  if (!network.host) {
    return Error{EINVAL, fmt::format("network {} has no host interface to route by",
                                     printable(network.name))};
  }
  RoutedNetwork routed{network.name, network.host->name, network.subnet, network.subnet6,
                       network.uplink};
  if (!routed.subnet) routed.subnet = network.host->address;
  if (!routed.subnet6) routed.subnet6 = network.host->address6;
  for (const std::string* name : {&routed.name, &routed.interface, &routed.uplink}) {
    if (is_plain(*name) || (name == &routed.uplink && name->empty())) continue;
    return Error{EINVAL, fmt::format("'{}' cannot be named in a rule of the packet filter: only "
                                     "letters, digits, '_', '-' and '.'",
                                     printable(*name))};
  }
  return routed;
}

std::string own_table(const RoutedNetwork& network, const ProcessId& owner) {
  const std::string table = own_name(network.name);
  const std::string& interface = network.interface;
  std::string text;
  append(text, "add table {}\n", table);
  append(text, "add chain {} forward {{ type filter hook forward priority filter; }}\n", table);
  append(text, "add chain {} postrouting {{ type nat hook postrouting priority srcnat; }}\n",
         table);
  const auto forward = [&](std::string_view rule) {
    append(text, "add rule {} forward {}\n", table, rule);
  };
  // A rule that is always there, for its comment.
  forward(fmt::format("iifname \"{0}\" oifname \"{0}\" accept comment \"{1}{2}{3}{4}\"", interface,
                      kOwnerMark, owner.pid, kStarted, owner.started));
  for (const Family& family : families(network)) {
    forward(family.subnet.empty()
                ? fmt::format("iifname \"{}\" meta nfproto {} drop", interface, family.nfproto)
                : fmt::format("iifname \"{}\" {} saddr != {} drop", interface, family.protocol,
                              family.subnet));
  }
  if (!network.uplink.empty()) {
    forward(fmt::format("iifname \"{}\" oifname != \"{}\" drop", interface, network.uplink));
  }
  forward(fmt::format("iifname \"{}\" accept", interface));
  forward(fmt::format("oifname \"{}\" ct state established,related accept", interface));
  forward(fmt::format("oifname \"{}\" drop", interface));
  for (const Family& family : families(network)) {
    if (family.subnet.empty()) continue;
    append(text, "add rule {0} postrouting {1} saddr {2} {1} daddr != {2} oifname {3} masquerade\n",
           table, family.protocol, family.subnet,
           network.uplink.empty() ? fmt::format("!= \"{}\"", interface)
                                  : fmt::format("\"{}\"", network.uplink));
  }
  return text;
}

std::string delete_own_table(std::string_view network) {
  return fmt::format("add table {0}\ndelete table {0}\n", own_name(network));
}

std::optional<ProcessId> owner_of(const Json& table_list) {
  for (const Json* rule : objects(table_list, "rule")) {
    const std::string comment = text_at(*rule, "comment");
    const std::size_t started_at = comment.find(kStarted);
    if (!comment.starts_with(kOwnerMark) || started_at == std::string::npos) continue;
    const std::string_view view = comment;
    const auto pid = parse_integer(view.substr(kOwnerMark.size(), started_at - kOwnerMark.size()));
    const auto started = parse_integer(view.substr(started_at + kStarted.size()));
    if (pid && started) {
      return ProcessId{static_cast<long>(*pid), static_cast<std::uint64_t>(*started)};
    }
  }
  return std::nullopt;
}

std::vector<DroppingChain> dropping_chains(const Json& chain_list) {
  const std::vector<const Json*> chains = objects(chain_list, "chain");
  std::vector<DroppingChain> found;
  for (const Json* chain : chains) {
    if (text_at(*chain, "hook") != "forward" || text_at(*chain, "policy") != "drop") continue;
    DroppingChain drops{text_at(*chain, "family"), text_at(*chain, "table"),
                        text_at(*chain, "name")};
    if (drops.family != "ip" && drops.family != "ip6" && drops.family != "inet") continue;
    drops.is_iptables =
        drops.family != "inet" && drops.table == "filter" && drops.chain == "FORWARD";
    const bool has_docker_user = std::any_of(chains.begin(), chains.end(), [&](const Json* other) {
      return text_at(*other, "family") == drops.family && text_at(*other, "table") == drops.table &&
             text_at(*other, "name") == "DOCKER-USER";
    });
    if (drops.is_iptables && has_docker_user) drops.chain = "DOCKER-USER";
    found.push_back(std::move(drops));
  }
  return found;
}

std::string accept_in(const DroppingChain& chain, const RoutedNetwork& network) {
  std::string text;
  for (const Family& family : families(network)) {
    if (family.subnet.empty()) continue;
    if (chain.family != "inet" && chain.family != family.protocol) continue;
    const std::string start =
        fmt::format("insert rule {} {} {}", chain.family, chain.table, chain.chain);
    const std::string end =
        fmt::format("counter accept comment \"{}{}\"\n", kRulePrefix, network.name);
    append(text, "{} oifname \"{}\" {}", start, network.interface, end);
    append(text, "{} iifname \"{}\" {}{} saddr {} {}", start, network.interface,
           network.uplink.empty() ? std::string() : fmt::format("oifname \"{}\" ", network.uplink),
           family.protocol, family.subnet, end);
  }
  return text;
}

std::vector<std::string> iptables_chains(const Json& chain_list) {
  std::vector<std::string> found;
  for (const Json* chain : objects(chain_list, "chain")) {
    const std::string family = text_at(*chain, "family");
    const std::string name = text_at(*chain, "name");
    if ((family == "ip" || family == "ip6") && text_at(*chain, "table") == "filter" &&
        (name == "FORWARD" || name == "DOCKER-USER")) {
      found.push_back(fmt::format("{} filter {}", family, name));
    }
  }
  return found;
}

std::vector<std::string> networks_with_tables(const Json& table_list) {
  std::vector<std::string> names;
  for (const Json* table : objects(table_list, "table")) {
    const std::string name = text_at(*table, "name");
    if (text_at(*table, "family") == "inet" && name.starts_with(kTablePrefix)) {
      names.push_back(name.substr(kTablePrefix.size()));
    }
  }
  return names;
}

std::vector<ForeignRule> rules_of_ours(const Json& chain_list) {
  std::vector<ForeignRule> found;
  for (const Json* rule : objects(chain_list, "rule")) {
    const std::string comment = text_at(*rule, "comment");
    const auto handle = rule->find("handle");
    if (!comment.starts_with(kRulePrefix) || !is_plain(comment.substr(kRulePrefix.size())) ||
        handle == rule->end() || !handle->is_number_unsigned()) {
      continue;
    }
    found.push_back({text_at(*rule, "family"), text_at(*rule, "table"), text_at(*rule, "chain"),
                     handle->get<std::uint64_t>(), comment.substr(kRulePrefix.size())});
  }
  return found;
}

std::string delete_rule(const ForeignRule& rule) {
  return fmt::format("delete rule {} {} {} handle {}\n", rule.family, rule.table, rule.chain,
                     rule.handle);
}

}  // namespace lanyard
