// SPDX-License-Identifier: MIT
//
// What reading a single value cannot see of network.NAME.guard.
#include <algorithm>
#include <set>

#include "switch/network/config_check.h"

namespace lanyard {
namespace {

using Step = ConfigReport::Step;

bool is_plain_name(const std::string& name) {
  constexpr std::size_t kNameMax = 32;
  return !name.empty() && name.size() <= kNameMax && name != "none" && name != "off" &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

void check_groups(const GuardConfig& guard, ConfigReport& report) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < guard.groups.size(); ++i) {
    const std::string& name = guard.groups[i].name;
    const Step list(report, "group");
    const Step element(report, std::to_string(i));
    if (!is_plain_name(name)) {
      report.add(
          fmt::format("'{}' cannot be a bandwidth group's name: 1 to 32 letters, digits, "
                      "hyphens, dots and underscores",
                      printable(name)));
    } else if (!names.insert(name).second) {
      report.add(fmt::format("there is another bandwidth group '{}'", name));
    }
  }
  const std::string& used = guard.guests.bandwidth_group;
  if (used.empty() || names.contains(used)) return;
  const Step key(report, "bandwidth_group");
  report.add(fmt::format("there is no group '{}'; add a table guard.group with that name",
                         printable(used)));
}

void check_bindings(const NetworkConfig& network, ConfigReport& report) {
  std::set<IpAddress> bound;
  for (std::size_t i = 0; i < network.guard.bindings.size(); ++i) {
    const BindingConfig& binding = network.guard.bindings[i];
    const Step list(report, "binding");
    const Step element(report, std::to_string(i));
    if (binding.mac.is_zero() || binding.mac.is_group()) {
      report.add("a binding needs the MAC address of a guest: mac = \"52:54:00:00:00:01\"");
    }
    if (binding.address == IpAddress()) {
      report.add("a binding needs an address: address = \"10.0.2.15\"");
    } else if (!bound.insert(binding.address).second) {
      report.add(fmt::format("{} is bound twice", binding.address.text()));
    }
  }
}

}  // namespace

void check_guard(const NetworkConfig& network, ConfigReport& report) {
  const Step guard(report, "guard");
  check_groups(network.guard, report);
  check_bindings(network, report);
  if (network.guard.guests.sticky && network.guard.guests.max_macs == 0) {
    const Step key(report, "sticky");
    report.add("sticky needs max_macs, the number of addresses to keep");
  }
}

}  // namespace lanyard
