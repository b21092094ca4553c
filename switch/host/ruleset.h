// SPDX-License-Identifier: MIT
//
// The packet filter rules of a routed network as text for nft, and foreign chains as nft lists
// them: what routing.h does, without doing it. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/host/process.h"
#include "switch/network/json_rpc.h"
#include "switch/network/network_config.h"

namespace lanyard {

constexpr std::string_view kTablePrefix = "lanyard_";  // in family inet
constexpr std::string_view kRulePrefix = "lanyard ";   // of comments in foreign chains

// What of a network matters here.
struct RoutedNetwork {
  std::string name;
  std::string interface;
  std::optional<Ipv4Prefix> subnet;
  std::optional<Ipv6Prefix> subnet6;
  std::string uplink;  // empty: any
};

// EINVAL when a name could not stand in a rule.
Result<RoutedNetwork> routed_network(const NetworkConfig& network);

// "add table ..." with all its chains and rules. `owner` is written into a comment.
std::string own_table(const RoutedNetwork& network, const ProcessId& owner);
// Whether it is there or not.
std::string delete_own_table(std::string_view network);
// Who wrote a table of ours, by the comments of its rules.
std::optional<ProcessId> owner_of(const Json& table_list);

// A chain where forwarded packets are dropped unless a rule says otherwise.
struct DroppingChain {
  std::string family;  // ip, ip6, inet
  std::string table;
  std::string chain;         // where a rule has to stand: DOCKER-USER, if there is one
  bool is_iptables = false;  // `filter FORWARD` of iptables-nft; else somebody's own
};
std::vector<DroppingChain> dropping_chains(const Json& chain_list);

// The lines that let a network through such a chain.
std::string accept_in(const DroppingChain& chain, const RoutedNetwork& network);

// Chains of iptables-nft where such lines may stand, as "ip filter FORWARD".
std::vector<std::string> iptables_chains(const Json& chain_list);
// Networks that have a table of ours, or of somebody who likes the name.
std::vector<std::string> networks_with_tables(const Json& table_list);

// Rules of ours in foreign chains.
struct ForeignRule {
  std::string family;
  std::string table;
  std::string chain;
  std::uint64_t handle = 0;
  std::string network;
};
std::vector<ForeignRule> rules_of_ours(const Json& chain_list);
std::string delete_rule(const ForeignRule& rule);

}  // namespace lanyard
