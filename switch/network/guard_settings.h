// SPDX-License-Identifier: MIT
//
// What a guest may do at its port, as a value: compared, copied, kept in SwitchState, said and
// shown as text through one table, which the console, the management socket and the manual page
// share. All off is what a port of vde_switch is. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/frame/mac_address.h"

namespace lanyard {

// What a port gets to see of unicast frames that are for others.
enum class PromiscuousPolicy : std::uint8_t {
  deny,       // nothing: what a switch does
  allow_vms,  // what guests send each other
  allow_all,  // what the host and the gateway send and get, too
};

enum class ViolationAction : std::uint8_t {
  drop,
  shut,  // and pull the port's cable, until an operator plugs it in again
};

// On average and at once; nothing is limited by a rate of 0, and a burst of 0 is chosen for it.
struct RateSettings {
  std::uint64_t per_second = 0;
  std::uint64_t burst = 0;
  friend bool operator==(const RateSettings&, const RateSettings&) = default;
};

struct GuardSettings {
  // On the host's side (gateway, TAP, uplink): never inspected, reached by isolated ports.
  bool trusted = false;
  bool isolated = false;  // reaches trusted and not isolated ports only
  PromiscuousPolicy promiscuous = PromiscuousPolicy::deny;

  std::uint32_t max_macs = 0;    // 0: as many as the switch has room for
  bool sticky = false;           // the first max_macs addresses are the only ones
  std::vector<MacAddress> macs;  // these are the only ones; empty: any
  ViolationAction on_violation = ViolationAction::drop;

  bool dhcp_guard = false;
  bool dhcpv6_guard = false;
  bool ra_guard = false;
  bool ip_source_guard = false;
  bool arp_inspection = false;  // and neighbour discovery
  bool bpdu_guard = false;
  bool root_guard = false;  // read by the spanning tree

  std::uint32_t broadcast_pps = 0;
  std::uint32_t multicast_pps = 0;
  std::uint32_t unknown_pps = 0;

  RateSettings rate_in;  // bytes a second, of what the guest sends
  RateSettings rate_out;
  std::string bandwidth_group;  // shared with others, of what the guest sends; empty: none

  friend bool operator==(const GuardSettings&, const GuardSettings&) = default;
};

// A bandwidth group: what several ports may send together.
struct BandwidthGroup {
  std::string name;
  RateSettings rate;
  friend bool operator==(const BandwidthGroup&, const BandwidthGroup&) = default;
};

// ---- as text ----

struct GuardField {
  std::string_view key;
  std::string_view values;  // what it takes, for people
  std::string_view help;
  std::string (*get)(const GuardSettings&) = nullptr;
  Result<void> (*set)(GuardSettings&, std::string_view value) = nullptr;
};

// The keys, in the order of guard_fields().
inline constexpr std::array<std::string_view, 22> kGuardKeys{
    "trusted",      "isolated",       "promiscuous",     "max_macs",
    "sticky",       "macs",           "on_violation",    "dhcp_guard",
    "dhcpv6_guard", "ra_guard",       "ip_source_guard", "arp_inspection",
    "bpdu_guard",   "root_guard",     "broadcast_pps",   "multicast_pps",
    "unknown_pps",  "rate_in",        "burst_in",        "rate_out",
    "burst_out",    "bandwidth_group"};

std::span<const GuardField> guard_fields();

// EINVAL with a sentence when there is no such key or it does not take the value.
Result<void> set_guard_field(GuardSettings& settings, std::string_view key, std::string_view value);

// "on", "yes", "1", "true" and their opposites.
Result<bool> parse_switch(std::string_view text);
// Bytes a second as VirtualBox writes them: k, m, g are bits, K, M, G bytes, and a number alone is
// megabytes; "off" and 0 are no limit.
Result<std::uint64_t> parse_rate(std::string_view text);
// In the largest unit that loses nothing; "off" for none.
std::string rate_text(std::uint64_t bytes_per_second);
// A number of bytes, also with K, M, G (powers of 1000).
Result<std::uint64_t> parse_size(std::string_view text);

// The burst that a rate has when none was said: a tenth of a second, but room for two large frames.
std::uint64_t burst_of(const RateSettings& rate);
// And of frames a second.
std::uint64_t storm_burst_of(std::uint32_t frames_per_second);

}  // namespace lanyard
