// SPDX-License-Identifier: MIT
//
// What was configured in a switch, as a value that can be compared, copied and given to a successor
// process. Learned addresses and counters are not part of it: they can be had again.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "switch/bridge/binding_table.h"
#include "switch/bridge/port_set.h"
#include "switch/frame/ethernet.h"
#include "switch/network/guard_settings.h"

namespace lanyard {

struct PortConfiguration {
  PortId id = 0;
  VlanId native_vlan = 0;
  std::vector<VlanId> tagged_vlans;
  bool allocatable = true;
  bool reserved = false;
  bool link_up = true;
  bool pass_tags = false;
  uid_t user_allowed = static_cast<uid_t>(-1);
  gid_t group_allowed = static_cast<gid_t>(-1);
  std::uint64_t queue_bytes_max = 0;
  GuardSettings guard;
  bool guard_chosen = false;
  std::vector<MacAddress> sticky_macs;  // what its guard has seen

  friend bool operator==(const PortConfiguration&, const PortConfiguration&) = default;
};

// What was said about the spanning tree in one VLAN.
struct VlanTreeState {
  VlanId vlan = 0;
  std::vector<PortId> edges;  // ascending
  PortId bonus_port = 0;
  std::int32_t bonus = 0;

  friend bool operator==(const VlanTreeState&, const VlanTreeState&) = default;
};

struct SpanningTreeState {
  bool running = false;
  std::uint16_t priority = 0x8000;
  std::vector<VlanTreeState> vlans;  // ascending; those about which something was said
  std::vector<PortId> bpdu_guards;   // ascending
  std::vector<PortId> root_guards;

  friend bool operator==(const SpanningTreeState&, const SpanningTreeState&) = default;
};

struct SwitchState {
  MacAddress mac;
  PortId ports_max = 32;
  bool hub = false;
  std::uint32_t mac_expire_s = 100;
  std::uint32_t mac_hold_s = 3;
  std::uint32_t shown_buckets = 128;
  bool pass_tags_by_default = false;
  GuardSettings guard_by_default;
  std::vector<BandwidthGroup> bandwidth_groups;
  std::vector<Binding> bindings;  // learned ones too: a guest does not ask again
  std::vector<VlanId> vlans;      // without VLAN 0
  std::vector<PortConfiguration> ports;
  SpanningTreeState spanning_tree;

  friend bool operator==(const SwitchState&, const SwitchState&) = default;
};

}  // namespace lanyard
