// SPDX-License-Identifier: MIT
#include "switch/host/routing.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <vector>

#include "switch/base/text.h"

namespace lanyard {
namespace {

// The lists are of an instant; a rule that went away since makes the transaction fail.
constexpr int kAttempts = 4;

// Rules of ours in the chains of iptables, of all networks.
Result<std::vector<ForeignRule>> foreign_rules(Nft& nft, const Json& chains) {
  std::vector<ForeignRule> rules;
  for (const std::string& chain : iptables_chains(chains)) {
    const Result<Json> list = nft.list("list chain " + chain);
    if (!list && list.error().code == ENOENT) continue;
    if (!list) return list.error();
    const std::vector<ForeignRule> some = rules_of_ours(list.value());
    rules.insert(rules.end(), some.begin(), some.end());
  }
  return rules;
}

std::string delete_rules_of(std::string_view network, const std::vector<ForeignRule>& rules) {
  std::string text;
  for (const ForeignRule& rule : rules) {
    if (rule.network == network) text += delete_rule(rule);
  }
  return text;
}

// Takes away what is there of a network, and in the same transaction puts `then` in its place.
Result<void> replace_rules(Nft& nft, std::string_view network, const std::string& then) {
  Result<void> done;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const Result<Json> chains = nft.list("list chains");
    if (!chains) return chains.error();
    const Result<std::vector<ForeignRule>> rules = foreign_rules(nft, chains.value());
    if (!rules) return rules.error();
    done = nft.run(delete_own_table(network) + delete_rules_of(network, rules.value()) + then);
    if (done || done.error().code != ENOENT) return done;
  }
  return done;
}

// Whether a table of this name is somebody else's.
Result<void> check_name(Nft& nft, std::string_view network) {
  const Result<Json> table = nft.list(fmt::format("list table inet {}{}", kTablePrefix, network));
  if (!table) return {};
  const auto owner = owner_of(table.value());
  if (!owner) {
    return Error{EEXIST, fmt::format("network {}: there is a table inet {}{} that lanyard did not "
                                     "write. Remove it, or rename the network",
                                     network, kTablePrefix, network)};
  }
  if (*owner == ProcessId::own() || !owner->is_alive()) return {};
  return Error{EBUSY,
               fmt::format("network {} is routed by process {} already", network, owner->pid)};
}

}  // namespace

Routing::Routing(RoutedNetwork network, Nft nft, Log& log)
    : network_(std::move(network)), nft_(std::move(nft)), log_(log) {}

// What passes the chains that drop by default; says which it has to leave alone.
std::string Routing::passes(const std::vector<DroppingChain>& chains) {
  std::string text;
  for (const DroppingChain& chain : chains) {
    if (chain.table.starts_with(kTablePrefix)) continue;
    const std::string rules = accept_in(chain, network_);
    if (rules.empty()) continue;
    const std::string place = fmt::format("{} {} {}", chain.family, chain.table, chain.chain);
    if (chain.is_iptables) {
      text += rules;
      log_.info("network {}: rules \"{}{}\" in {}, which drops what is forwarded", network_.name,
                kRulePrefix, network_.name, place);
    } else if (named_.insert(place).second) {
      log_.warning(
          "network {}: table {} {}, chain {}, drops what is forwarded, and is not ours to "
          "change. Two lines let the network through: nft '{}'",
          network_.name, chain.family, chain.table, chain.chain, trim(rules));
    }
  }
  return text;
}

Result<std::unique_ptr<Routing>> Routing::start(const NetworkConfig& network,
                                                const std::string& state_directory, Log& log) {
  const Result<RoutedNetwork> routed = routed_network(network);
  if (!routed) return routed.error();
  Result<Nft> nft = Nft::open();
  if (!nft) return nft.error();
  std::unique_ptr<Routing> routing(new Routing(routed.value(), nft.take(), log));
  if (Result<void> free = check_name(routing->nft_, network.name); !free) return free.error();
  const auto failed = [&](const Error& error) {
    const char* const more = error.code == EPERM ? ". Routing needs CAP_NET_ADMIN" : "";
    return Error{error.code, fmt::format("network {}: {}{}", network.name, error.text, more)};
  };
  const Result<Json> chains = routing->nft_.list("list chains");
  if (!chains) return failed(chains.error());
  const std::string rules = own_table(routed.value(), ProcessId::own()) +
                            routing->passes(dropping_chains(chains.value()));
  // Rules before forwarding, so that nothing is forwarded past them.
  if (Result<void> done = replace_rules(routing->nft_, network.name, rules); !done) {
    return failed(done.error());
  }
  routing->has_rules_ = true;
  routing->legacy_failed_ = !routing->legacy_.let_through(routing->network_, log);
  Result<std::unique_ptr<Forwarding>> forwarding = Forwarding::acquire(
      {"/proc", state_directory}, network.name, routed.value().subnet6.has_value(), log);
  if (!forwarding) return forwarding.error();
  routing->forwarding_ = forwarding.take();
  return routing;
}

Routing::~Routing() {
  forwarding_.reset();
  if (!has_rules_) return;
  legacy_.remove(network_.name, log_);
  if (const Result<void> done = replace_rules(nft_, network_.name, {}); !done) {
    log_.warning("network {}: its rules stay: {}", network_.name, done.error().text);
  }
}

bool Routing::has_rule_in(const DroppingChain& chain) {
  const Result<Json> list =
      nft_.list(fmt::format("list chain {} {} {}", chain.family, chain.table, chain.chain));
  if (!list) return true;  // gone since
  const std::vector<ForeignRule> rules = rules_of_ours(list.value());
  return std::any_of(rules.begin(), rules.end(),
                     [&](const ForeignRule& rule) { return rule.network == network_.name; });
}

void Routing::look_at_legacy_tables() {
  if (!legacy_failed_) legacy_failed_ = !legacy_.let_through(network_, log_);
}

void Routing::look_again() {
  look_at_legacy_tables();
  const Result<Json> chains = nft_.list("list chains");
  if (!chains) return;
  std::vector<DroppingChain> dropping = dropping_chains(chains.value());
  std::erase_if(dropping, [this](const DroppingChain& chain) {
    return chain.is_iptables && has_rule_in(chain);
  });
  const std::string rules = passes(dropping);
  if (rules.empty()) return;
  // Should it have changed again by now, we are called again.
  if (const Result<void> done = nft_.run(rules); !done) {
    log_.warning("network {}: FORWARD drops what is forwarded: {}", network_.name,
                 done.error().text);
  }
}

void Routing::clean_up(const std::string& state_directory, Log& log) {
  Result<Nft> nft = Nft::open();
  if (!nft) return;
  const Result<Json> tables = nft.value().list("list tables");
  const Result<Json> chains = nft.value().list("list chains");
  if (!tables || !chains) return;
  const Result<std::vector<ForeignRule>> rules = foreign_rules(nft.value(), chains.value());
  if (!rules) return;
  const std::vector<std::string> tabled = networks_with_tables(tables.value());
  std::set<std::string> networks(tabled.begin(), tabled.end());
  for (const ForeignRule& rule : rules.value()) networks.insert(rule.network);
  const LegacyTables legacy;
  const std::set<std::string> with_legacy_rules = legacy.networks();
  networks.insert(with_legacy_rules.begin(), with_legacy_rules.end());
  for (const std::string& network : networks) {
    const Result<Json> table =
        nft.value().list(fmt::format("list table inet {}{}", kTablePrefix, network));
    const auto owner = table ? owner_of(table.value()) : std::nullopt;
    // A table without our mark is somebody's who likes the name.
    if (table && (!owner || owner->is_alive())) continue;
    legacy.remove(network, log);
    const Result<void> done = replace_rules(nft.value(), network, {});
    if (done) {
      log.notice("rules of network {} were left by a process that has ended; removed", network);
    } else {
      log.warning("rules of network {} were left, and stay: {}", network, done.error().text);
    }
  }
  Forwarding::clean_up({"/proc", state_directory}, log);
}

}  // namespace lanyard
