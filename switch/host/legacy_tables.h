// SPDX-License-Identifier: MIT
//
// The host's older packet filter, iptables-legacy: tables of the kernel beside those of nft, which
// nft cannot see. A host that has them with a FORWARD that drops (Docker on such a host sets it)
// drops what a routed network forwards, whatever our own table says.
//
// There is no library for them, only the program; it is run when the kernel says that these tables
// are in use, and never before, because to ask brings them into being. What drops there gets two
// rules of ours in front (in DOCKER-USER, where there is one), marked by the comment
// "lanyard NAME"; they are recognised by it, and nothing else is touched. Whether a rule is there
// is looked up, not believed: another program may hold the lock. The thread that sets things up.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/log.h"
#include "switch/host/ruleset.h"
#include "switch/host/run_program.h"

namespace lanyard {

class LegacyTables {
 public:
  // `root` is before /proc.
  explicit LegacyTables(RunProgram run = run_program, std::string root = "");

  // Puts rules in where the network is dropped and has none. False: one could not be put in.
  bool let_through(const RoutedNetwork& network, Log& log) const;
  void remove(std::string_view network, Log& log) const;
  // That have rules there.
  std::set<std::string> networks() const;
  // For pasting; empty when nothing drops, or rules are there.
  std::string lines_for(const RoutedNetwork& network) const;

 private:
  using Words = std::vector<std::string>;
  struct Family {
    std::string program;
    std::string names;  // the kernel's list of tables in use
    std::string subnet;
  };

  std::vector<Family> families(const RoutedNetwork* network) const;
  // The rules, when there are any.
  std::vector<Words> rules(const Family& family) const;
  std::vector<Words> missing(const Family& family, const RoutedNetwork& network) const;

  RunProgram run_;
  std::string root_;
};

}  // namespace lanyard
