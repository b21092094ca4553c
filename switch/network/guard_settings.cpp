// SPDX-License-Identifier: MIT
#include "switch/network/guard_settings.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kShown = 40;

// The most that can be asked for: 1 Tbit/s, more than memory carries.
constexpr std::uint64_t kRateMax = 125'000'000'000;

Error refused(std::string_view value, std::string_view wanted) {
  return {EINVAL, fmt::format("'{}' is not {}", printable(value.substr(0, kShown)), wanted)};
}

std::optional<std::uint64_t> whole_number(std::string_view text, std::uint64_t max) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > max) return std::nullopt;
  return number;
}

bool is_off(std::string_view text) {
  return text == "off" || text == "none" || text == "0";
}

// A number and the factor of the letter behind it; `alone` is the factor without a letter.
struct Unit {
  char letter;
  std::uint64_t factor;
  std::uint64_t divisor;
};

template <std::size_t kCount>
std::optional<std::uint64_t> scaled(std::string_view text, const std::array<Unit, kCount>& units,
                                    std::uint64_t alone) {
  Unit unit{'\0', alone, 1};
  for (const Unit& known : units) {
    if (!text.empty() && text.back() == known.letter) unit = known;
  }
  if (unit.letter != '\0') text.remove_suffix(1);
  const std::optional<std::uint64_t> number = whole_number(text, kRateMax);
  if (!number || *number > kRateMax * unit.divisor / unit.factor) return std::nullopt;
  return *number * unit.factor / unit.divisor;
}

std::string on_off(bool on) {
  return on ? "on" : "off";
}

Result<void> set_bool(bool& to, std::string_view value) {
  const Result<bool> on = parse_switch(value);
  if (!on) return on.error();
  to = on.value();
  return {};
}

Result<void> set_count(std::uint32_t& to, std::string_view value, std::string_view wanted) {
  if (is_off(value)) return to = 0, Result<void>{};
  const auto number = whole_number(value, std::numeric_limits<std::uint32_t>::max());
  if (!number) return refused(value, wanted);
  to = static_cast<std::uint32_t>(*number);
  return {};
}

Result<void> set_rate(std::uint64_t& to, std::string_view value) {
  const Result<std::uint64_t> rate = parse_rate(value);
  if (!rate) return rate.error();
  to = rate.value();
  return {};
}

Result<void> set_size(std::uint64_t& to, std::string_view value) {
  const Result<std::uint64_t> size = parse_size(value);
  if (!size) return size.error();
  to = size.value();
  return {};
}

std::string count_text(std::uint64_t number) {
  return number == 0 ? "off" : std::to_string(number);
}

std::string promiscuous_text(const GuardSettings& s) {
  switch (s.promiscuous) {
    case PromiscuousPolicy::deny: return "deny";
    case PromiscuousPolicy::allow_vms: return "allow-vms";
    case PromiscuousPolicy::allow_all: break;
  }
  return "allow-all";
}

Result<void> set_promiscuous(GuardSettings& s, std::string_view value) {
  if (value == "deny") return s.promiscuous = PromiscuousPolicy::deny, Result<void>{};
  if (value == "allow-vms") return s.promiscuous = PromiscuousPolicy::allow_vms, Result<void>{};
  if (value == "allow-all") return s.promiscuous = PromiscuousPolicy::allow_all, Result<void>{};
  return refused(value, "deny, allow-vms or allow-all");
}

std::string macs_text(const GuardSettings& s) {
  std::string text;
  for (const MacAddress& mac : s.macs) append(text, "{}{}", text.empty() ? "" : ",", mac.text());
  return text.empty() ? "any" : text;
}

Result<void> set_macs(GuardSettings& s, std::string_view value) {
  constexpr std::size_t kMacsMax = 1024;
  std::vector<MacAddress> macs;
  if (value == "any" || is_off(value)) return s.macs.clear(), Result<void>{};
  while (!value.empty()) {
    const std::string_view one = value.substr(0, value.find(','));
    const std::optional<MacAddress> mac = MacAddress::parse(one);
    if (!mac || mac->is_group()) return refused(one, "the MAC address of a station");
    macs.push_back(*mac);
    value.remove_prefix(std::min(value.size(), one.size() + 1));
  }
  if (macs.size() > kMacsMax) {
    return Error{EINVAL, fmt::format("{} addresses are too many; a port has at most {}",
                                     macs.size(), kMacsMax)};
  }
  s.macs = std::move(macs);
  return {};
}

Result<void> set_violation(GuardSettings& s, std::string_view value) {
  if (value == "drop") return s.on_violation = ViolationAction::drop, Result<void>{};
  if (value == "shut") return s.on_violation = ViolationAction::shut, Result<void>{};
  return refused(value, "drop or shut");
}

Result<void> set_group(GuardSettings& s, std::string_view value) {
  s.bandwidth_group = is_off(value) ? "" : std::string(value);
  return {};
}

template <bool GuardSettings::*kMember>
constexpr GuardField on_off_field(std::string_view key, std::string_view help) {
  return {key, "on|off", help, [](const GuardSettings& s) { return on_off(s.*kMember); },
          [](GuardSettings& s, std::string_view v) { return set_bool(s.*kMember, v); }};
}

template <std::uint32_t GuardSettings::*kMember>
constexpr GuardField count_field(std::string_view key, std::string_view help) {
  return {key, "NUMBER|off", help, [](const GuardSettings& s) { return count_text(s.*kMember); },
          [](GuardSettings& s, std::string_view v) {
            return set_count(s.*kMember, v, "a number, or off");
          }};
}

template <RateSettings GuardSettings::*kMember>
constexpr GuardField rate_field(std::string_view key, std::string_view help) {
  return {
      key, "RATE|off", help,
      [](const GuardSettings& s) { return rate_text((s.*kMember).per_second); },
      [](GuardSettings& s, std::string_view v) { return set_rate((s.*kMember).per_second, v); }};
}

template <RateSettings GuardSettings::*kMember>
constexpr GuardField burst_field(std::string_view key, std::string_view help) {
  return {key, "BYTES|off", help,
          [](const GuardSettings& s) { return count_text((s.*kMember).burst); },
          [](GuardSettings& s, std::string_view v) { return set_size((s.*kMember).burst, v); }};
}

using S = GuardSettings;

constexpr std::array kFields{
    on_off_field<&S::trusted>("trusted", "on the host's side: nothing is inspected"),
    on_off_field<&S::isolated>("isolated", "reaches no other isolated port"),
    GuardField{"promiscuous", "deny|allow-vms|allow-all", "which frames for others it gets to see",
               promiscuous_text, set_promiscuous},
    count_field<&S::max_macs>("max_macs", "how many MAC addresses may be behind it"),
    on_off_field<&S::sticky>("sticky", "the first max_macs addresses are the only ones"),
    GuardField{"macs", "MAC,...|any", "the only source addresses it may use", macs_text, set_macs},
    GuardField{"on_violation", "drop|shut", "what a frame against the rules does",
               [](const S& s) -> std::string {
                 return s.on_violation == ViolationAction::drop ? "drop" : "shut";
               },
               set_violation},
    on_off_field<&S::dhcp_guard>("dhcp_guard", "drop messages of DHCP servers"),
    on_off_field<&S::dhcpv6_guard>("dhcpv6_guard", "drop messages of DHCPv6 servers"),
    on_off_field<&S::ra_guard>("ra_guard", "drop IPv6 router advertisements"),
    on_off_field<&S::ip_source_guard>("ip_source_guard", "only IP sources bound to the port"),
    on_off_field<&S::arp_inspection>("arp_inspection", "only ARP and ND about bound addresses"),
    on_off_field<&S::bpdu_guard>("bpdu_guard", "a BPDU from it pulls its cable"),
    on_off_field<&S::root_guard>("root_guard", "no root bridge behind it"),
    count_field<&S::broadcast_pps>("broadcast_pps", "broadcasts a second"),
    count_field<&S::multicast_pps>("multicast_pps", "multicasts a second"),
    count_field<&S::unknown_pps>("unknown_pps", "frames to unknown addresses a second"),
    rate_field<&S::rate_in>("rate_in", "bytes a second that it may send"),
    burst_field<&S::rate_in>("burst_in", "and at once"),
    rate_field<&S::rate_out>("rate_out", "bytes a second that it may get"),
    burst_field<&S::rate_out>("burst_out", "and at once"),
    GuardField{"bandwidth_group", "NAME|none", "shares what the group may send",
               [](const S& s) { return s.bandwidth_group.empty() ? "none" : s.bandwidth_group; },
               set_group},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kGuardKeys.size(); ++i) {
    if (kFields[i].key != kGuardKeys[i]) return false;
  }
  return kFields.size() == kGuardKeys.size();
}
static_assert(in_order());

}  // namespace

std::span<const GuardField> guard_fields() {
  return kFields;
}

Result<void> set_guard_field(GuardSettings& settings, std::string_view key,
                             std::string_view value) {
  const auto field = std::find_if(kFields.begin(), kFields.end(),
                                  [&](const GuardField& f) { return f.key == key; });
  if (field == kFields.end()) {
    std::string keys;
    for (const GuardField& known : kFields)
      append(keys, "{}{}", keys.empty() ? "" : ", ", known.key);
    return Error{EINVAL, fmt::format("there is no guard '{}'; there are {}",
                                     printable(key.substr(0, kShown)), keys)};
  }
  GuardSettings wanted = settings;
  if (Result<void> set = field->set(wanted, value); !set) {
    return Error{EINVAL, fmt::format("{}: {}", field->key, set.error().text)};
  }
  if (wanted.sticky && wanted.max_macs == 0) {
    return Error{EINVAL, fmt::format("{}: sticky needs max_macs, the number of addresses to keep",
                                     field->key)};
  }
  settings = std::move(wanted);
  return {};
}

Result<bool> parse_switch(std::string_view text) {
  for (const std::string_view on : {"on", "yes", "true", "1"}) {
    if (text == on) return true;
  }
  for (const std::string_view off : {"off", "no", "false", "0"}) {
    if (text == off) return false;
  }
  return refused(text, "on or off");
}

Result<std::uint64_t> parse_rate(std::string_view text) {
  constexpr std::array<Unit, 6> kUnits{{{'k', 1000, 8},
                                        {'m', 1'000'000, 8},
                                        {'g', 1'000'000'000, 8},
                                        {'K', 1000, 1},
                                        {'M', 1'000'000, 1},
                                        {'G', 1'000'000'000, 1}}};
  constexpr std::uint64_t kMegabyte = 1'000'000;
  if (is_off(text)) return std::uint64_t{0};
  const auto rate = scaled(text, kUnits, kMegabyte);
  if (!rate) {
    return refused(text,
                   "a rate: 20m (megabits a second; k, m, g), 5M (megabytes; K, M, G) or off");
  }
  return *rate;
}

std::string rate_text(std::uint64_t bytes_per_second) {
  if (bytes_per_second == 0) return "off";
  constexpr std::array<Unit, 6> kUnits{{{'G', 1'000'000'000, 1},
                                        {'M', 1'000'000, 1},
                                        {'K', 1000, 1},
                                        {'g', 125'000'000, 1},
                                        {'m', 125'000, 1},
                                        {'k', 125, 1}}};
  for (const Unit& unit : kUnits) {
    if (bytes_per_second % unit.factor == 0) {
      return fmt::format("{}{}", bytes_per_second / unit.factor, unit.letter);
    }
  }
  return fmt::format("{}k", bytes_per_second / 125);
}

Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::array<Unit, 3> kUnits{
      {{'K', 1000, 1}, {'M', 1'000'000, 1}, {'G', 1'000'000'000, 1}}};
  if (is_off(text)) return std::uint64_t{0};
  const auto size = scaled(text, kUnits, 1);
  if (!size) return refused(text, "a number of bytes: 65536, 256K, 4M, or off");
  return *size;
}

std::uint64_t burst_of(const RateSettings& rate) {
  constexpr std::uint64_t kTwoLargeFrames = 131072;
  return rate.burst != 0 ? rate.burst : std::max(rate.per_second / 10, kTwoLargeFrames);
}

std::uint64_t storm_burst_of(std::uint32_t frames_per_second) {
  constexpr std::uint32_t kAtLeast = 16;
  return std::max(frames_per_second / 10, kAtLeast);
}

}  // namespace lanyard
