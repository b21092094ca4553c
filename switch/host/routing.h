// SPDX-License-Identifier: MIT
//
// What makes a host-only network a routed one: the kernel forwards for its guests, and their
// packets leave with the host's own address.
//
//   - forwarding sysctls, shared with other routed networks (forwarding.h);
//   - a table of our own, `inet lanyard_NAME`: guests may go out by the uplink with addresses of
//     their subnet, answers may come back, nothing else may come in, what leaves is masqueraded;
//   - two rules in the host's `filter FORWARD` of iptables (or DOCKER-USER, where there is one),
//     but only if it drops by default: an accept in our table ends our table's evaluation, not that
//     of the next one, so there is no other way past a DROP there. Docker sets it everywhere.
//     The rules are plain matches with the comment "lanyard NAME": iptables refuses to work on
//     tables that hold what it cannot print, `ct state` for instance, and then Docker fails too.
//     That the answers' rule accepts without looking at the state is right because our own table
//     has done so;
//   - the like in the tables of iptables-legacy, if the host uses them (legacy_tables.h).
//
// Who sets such a policy later (Docker, when it starts), or throws our rules out, undoes the way
// through: so look_again() is called when something has changed, and puts in what is missing.
//
// One transaction adds all of it and one removes it; nothing foreign is flushed or rewritten. What
// a crash left is recognised by name and comment and replaced at the next start.
// The thread that sets things up.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/host/forwarding.h"
#include "switch/host/legacy_tables.h"
#include "switch/host/nft.h"
#include "switch/host/ruleset.h"
#include "switch/network/network_config.h"

namespace lanyard {

class Routing {
 public:
  // Of a network of kind `routed`, whose host interface exists. `state_directory` keeps what the
  // sysctls were.
  static Result<std::unique_ptr<Routing>> start(const NetworkConfig& network,
                                                const std::string& state_directory, Log& log);
  ~Routing();
  Routing(const Routing&) = delete;
  Routing& operator=(const Routing&) = delete;

  // What drops meanwhile is passed, too, or named once where it is not ours to change.
  void look_again();
  void look_at_legacy_tables();  // the part of it that nobody reports

  // At the start of a daemon: removes tables, rules and sysctls of networks whose process is gone.
  // Needs CAP_NET_ADMIN; without it nothing of ours can be there.
  static void clean_up(const std::string& state_directory, Log& log);

 private:
  Routing(RoutedNetwork network, Nft nft, Log& log);
  std::string passes(const std::vector<DroppingChain>& chains);
  bool has_rule_in(const DroppingChain& chain);

  RoutedNetwork network_;
  Nft nft_;
  Log& log_;
  LegacyTables legacy_;
  std::set<std::string> named_;  // chains that are not ours to change
  bool legacy_failed_ = false;   // and that has been said
  std::unique_ptr<Forwarding> forwarding_;
  bool has_rules_ = false;
};

}  // namespace lanyard
