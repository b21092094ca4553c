// SPDX-License-Identifier: MIT
//
// The keys of network.NAME.guard. Their values are GuardSettings' own; numbers and truth values are
// written as such, what has units or choices as text.
#include <algorithm>
#include <array>

#include "switch/network/config_fields.h"

namespace lanyard {
namespace {

constexpr bool kLive = true;

template <auto Member>
constexpr ConfigField<GuardConfig> plain(std::string_view key, std::string_view help) {
  return {key, kLive, [](const GuardConfig& guard) { return encode(guard.guests.*Member); },
          [](GuardConfig& guard, const Json& from, ConfigReport& report) {
            decode(guard.guests.*Member, from, report);
          },
          help};
}

// One of guard_fields(), by its place: its text is the value.
template <std::size_t Field>
void set_text(GuardConfig& guard, const Json& from, ConfigReport& report) {
  const GuardField& field = guard_fields()[Field];
  std::string text;
  const std::size_t problems = report.items().size();
  decode(text, from, report);
  if (report.items().size() != problems) return;
  if (Result<void> set = field.set(guard.guests, text); !set) report.add(set.error().text);
}

template <std::size_t Field>
ConfigJson get_text(const GuardConfig& guard) {
  return guard_fields()[Field].get(guard.guests);
}

constexpr std::size_t place_of(std::string_view key) {
  for (std::size_t i = 0; i < kGuardKeys.size(); ++i) {
    if (kGuardKeys[i] == key) return i;
  }
  return kGuardKeys.size();
}

template <std::size_t Field>
constexpr ConfigField<GuardConfig> text(std::string_view help) {
  static_assert(Field < kGuardKeys.size());
  return {kGuardKeys[Field], kLive, get_text<Field>, set_text<Field>, help};
}

using S = GuardSettings;

constexpr std::array kGuardFields{
    plain<&S::dhcp_guard>("dhcp_guard", "guests may not be DHCP servers"),
    plain<&S::dhcpv6_guard>("dhcpv6_guard", "guests may not be DHCPv6 servers"),
    plain<&S::ra_guard>("ra_guard", "guests may not be IPv6 routers"),
    plain<&S::isolated>("isolated", "guests do not reach each other"),
    text<place_of("promiscuous")>("what guests see of others: deny, allow-vms, allow-all"),
    plain<&S::max_macs>("max_macs", "MAC addresses of one port; 0 for any number"),
    plain<&S::sticky>("sticky", "the first max_macs addresses of a port are its only ones"),
    text<place_of("on_violation")>("drop, or shut: pull the cable of who breaks a rule"),
    plain<&S::ip_source_guard>("ip_source_guard", "guests use only IP addresses bound to them"),
    plain<&S::arp_inspection>("arp_inspection", "and claim only those in ARP and ND"),
    plain<&S::bpdu_guard>("bpdu_guard", "a BPDU pulls a guest's cable"),
    plain<&S::root_guard>("root_guard", "no root bridge behind a guest"),
    plain<&S::broadcast_pps>("broadcast_pps", "broadcasts of one port in a second; 0: any"),
    plain<&S::multicast_pps>("multicast_pps", "multicasts of one port in a second; 0: any"),
    plain<&S::unknown_pps>("unknown_pps", "frames to unknown addresses in a second; 0: any"),
    text<place_of("rate_in")>("what one port may send: \"20m\" bits, \"5M\" bytes a second"),
    text<place_of("burst_in")>("and at once, in bytes"),
    text<place_of("rate_out")>("what one port may get"),
    text<place_of("burst_out")>("and at once, in bytes"),
    text<place_of("bandwidth_group")>("all guests share what this group may send"),
    ConfigField<GuardConfig>{"trusted", kLive,
                             [](const GuardConfig& guard) { return encode(guard.trusted); },
                             [](GuardConfig& guard, const Json& from, ConfigReport& report) {
                               decode(guard.trusted, from, report);
                             },
                             "kinds of backends whose ports have no guards"},
    ConfigField<GuardConfig>{"binding", kLive,
                             [](const GuardConfig& guard) { return encode(guard.bindings); },
                             [](GuardConfig& guard, const Json& from, ConfigReport& report) {
                               decode(guard.bindings, from, report);
                             },
                             "whose an IP address is, besides those of guests"},
    ConfigField<GuardConfig>{"group", kLive,
                             [](const GuardConfig& guard) { return encode(guard.groups); },
                             [](GuardConfig& guard, const Json& from, ConfigReport& report) {
                               decode(guard.groups, from, report);
                             },
                             "bandwidth groups"},
};

constexpr std::array kBindingFields{
    ConfigField<BindingConfig>{"mac", kLive,
                               [](const BindingConfig& binding) { return encode(binding.mac); },
                               [](BindingConfig& binding, const Json& from, ConfigReport& report) {
                                 decode(binding.mac, from, report);
                               },
                               "the MAC address"},
    ConfigField<BindingConfig>{"address", kLive,
                               [](const BindingConfig& binding) { return encode(binding.address); },
                               [](BindingConfig& binding, const Json& from, ConfigReport& report) {
                                 decode(binding.address, from, report);
                               },
                               "its IPv4 or IPv6 address"},
};

void set_rate(BandwidthGroup& group, const Json& from, ConfigReport& report) {
  std::string text;
  const std::size_t problems = report.items().size();
  decode(text, from, report);
  if (report.items().size() != problems) return;
  const Result<std::uint64_t> rate = parse_rate(text);
  if (!rate) return report.add(rate.error().text);
  group.rate.per_second = rate.value();
}

constexpr std::array kGroupFields{
    ConfigField<BandwidthGroup>{"name", kLive,
                                [](const BandwidthGroup& group) { return encode(group.name); },
                                [](BandwidthGroup& group, const Json& from, ConfigReport& report) {
                                  decode(group.name, from, report);
                                },
                                "how ports call it"},
    ConfigField<BandwidthGroup>{
        "rate", kLive,
        [](const BandwidthGroup& group) { return encode(rate_text(group.rate.per_second)); },
        set_rate, "what all its ports may send together, as rate_in"},
    ConfigField<BandwidthGroup>{
        "burst", kLive, [](const BandwidthGroup& group) { return encode(group.rate.burst); },
        [](BandwidthGroup& group, const Json& from, ConfigReport& report) {
          decode(group.rate.burst, from, report);
        },
        "and at once, in bytes; 0: chosen"},
};

}  // namespace

std::span<const ConfigField<BindingConfig>> config_fields(const BindingConfig*) {
  return kBindingFields;
}
std::span<const ConfigField<BandwidthGroup>> config_fields(const BandwidthGroup*) {
  return kGroupFields;
}
std::span<const ConfigField<GuardConfig>> config_fields(const GuardConfig*) {
  return kGuardFields;
}

}  // namespace lanyard
