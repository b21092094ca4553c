// SPDX-License-Identifier: MIT
#include "switch/host/legacy_tables.h"

#include <algorithm>
#include <optional>

#include "switch/base/text.h"
#include "switch/host/sysctl.h"

namespace lanyard {
namespace {

using Words = std::vector<std::string>;

// As the program prints its rules: separated by blanks, quoted where a word holds some.
Words words_of(std::string_view line) {
  Words words;
  std::string word;
  bool quoted = false;
  for (std::size_t i = 0; i <= line.size(); ++i) {
    if (i == line.size() || (line[i] == ' ' && !quoted)) {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else {
      if (line[i] == '\\' && quoted && i + 1 < line.size()) ++i;
      word += line[i];
    }
  }
  return words;
}

// Whose rule it is; empty: not ours.
std::string network_of(const Words& rule) {
  const auto mark = std::find(rule.begin(), rule.end(), "--comment");
  if (rule.front() != "-A" || mark == rule.end() || mark + 1 == rule.end()) return {};
  const std::string& comment = *(mark + 1);
  return comment.starts_with(kRulePrefix) ? comment.substr(kRulePrefix.size()) : std::string();
}

// The policy, or a rule for everything.
bool drops(const std::vector<Words>& rules) {
  return std::any_of(rules.begin(), rules.end(), [](const Words& rule) {
    if (rule.size() < 3 || rule[1] != "FORWARD") return false;
    if (rule[0] == "-P") return rule[2] == "DROP";
    return rule.size() >= 4 && rule[0] == "-A" && rule[2] == "-j" &&
           (rule[3] == "DROP" || rule[3] == "REJECT");
  });
}

std::string line_of(const std::string& program, const Words& words) {
  std::string line = program;
  for (const std::string& word : words) {
    const std::string_view quote = word.find(' ') == std::string::npos ? "" : "'";
    append(line, " {0}{1}{0}", quote, word);
  }
  return line;
}

}  // namespace

LegacyTables::LegacyTables(RunProgram run, std::string root)
    : run_(std::move(run)), root_(std::move(root)) {}

std::vector<LegacyTables::Family> LegacyTables::families(const RoutedNetwork* network) const {
  std::vector<Family> both{{"iptables-legacy", "/proc/net/ip_tables_names", {}},
                           {"ip6tables-legacy", "/proc/net/ip6_tables_names", {}}};
  if (network != nullptr && network->subnet) {
    both[0].subnet = Ipv4Prefix{network->subnet->network(), network->subnet->length}.text();
  }
  if (network != nullptr && network->subnet6) {
    both[1].subnet = Ipv6Prefix{network->subnet6->network(), network->subnet6->length}.text();
  }
  std::erase_if(both, [&](const Family& family) {
    const auto names = read_setting(root_ + family.names);
    return !names || names->find("filter") == std::string::npos;
  });
  return both;
}

std::vector<Words> LegacyTables::rules(const Family& family) const {
  std::vector<Words> rules;
  const std::string listing = run_({family.program, "-S"}).value_or("");
  std::string_view rest = listing;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    Words rule = words_of(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!rule.empty()) rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<Words> LegacyTables::missing(const Family& family, const RoutedNetwork& network) const {
  const std::vector<Words> there = rules(family);
  const auto is_ours = [&](const Words& rule) { return network_of(rule) == network.name; };
  if (family.subnet.empty() || !drops(there) ||
      std::count_if(there.begin(), there.end(), is_ours) >= 2) {
    return {};
  }
  const bool docker =
      std::find(there.begin(), there.end(), Words{"-N", "DOCKER-USER"}) != there.end();
  const std::string chain = docker ? "DOCKER-USER" : "FORWARD";
  const Words end{"-m", "comment", "--comment", fmt::format("{}{}", kRulePrefix, network.name),
                  "-j", "ACCEPT"};
  Words out{"-I", chain, "-i", network.interface};
  if (!network.uplink.empty()) out.insert(out.end(), {"-o", network.uplink});
  out.insert(out.end(), {"-s", family.subnet});
  Words in{"-I", chain, "-o", network.interface};
  for (Words* rule : {&out, &in}) rule->insert(rule->end(), end.begin(), end.end());
  return {out, in};
}

bool LegacyTables::let_through(const RoutedNetwork& network, Log& log) const {
  bool all = true;
  for (const Family& family : families(&network)) {
    const std::vector<Words> rules = missing(family, network);
    if (rules.empty()) continue;
    for (Words rule : rules) {
      rule.insert(rule.begin(), family.program);
      (void)run_(rule);
    }
    if (missing(family, network).empty()) {
      log.info("network {}: rules \"{}{}\" of {}, where FORWARD drops", network.name, kRulePrefix,
               network.name, family.program);
      continue;
    }
    all = false;
    log.warning(
        "network {}: FORWARD of {} drops what is forwarded, and no rule could be put in: {}",
        network.name, family.program, lines_for(network));
  }
  return all;
}

void LegacyTables::remove(std::string_view network, Log& log) const {
  for (const Family& family : families(nullptr)) {
    for (Words rule : rules(family)) {
      if (network_of(rule) != network) continue;
      rule.front() = "-D";
      rule.insert(rule.begin(), family.program);
      const std::string answer = run_(rule).value_or("it cannot be run");
      if (!trim(answer).empty()) {
        log.warning("network {}: a rule of {} stays: {}", network, family.program,
                    printable(trim(answer)));
      }
    }
  }
}

std::set<std::string> LegacyTables::networks() const {
  std::set<std::string> names;
  for (const Family& family : families(nullptr)) {
    for (const Words& rule : rules(family)) names.insert(network_of(rule));
  }
  names.erase("");
  return names;
}

std::string LegacyTables::lines_for(const RoutedNetwork& network) const {
  std::string lines;
  for (const Family& family : families(&network)) {
    for (const Words& rule : missing(family, network)) {
      append(lines, "{}{}", lines.empty() ? "" : "; ", line_of(family.program, rule));
    }
  }
  return lines;
}

}  // namespace lanyard
