// SPDX-License-Identifier: MIT
//
// Who is in which VLAN, and the sets that forwarding reads (IEEE 802.1Q 8.8).
//
// What the user says (native VLAN and tagged membership of a port number, kept while the port is
// unplugged) and what the spanning tree says (the port's state in each VLAN) are turned into one
// VlanPlan per VLAN, so that the frame path asks no questions. A plan is rebuilt when it is next
// read after a change. VLAN 0 always exists and means "no VLAN". Lane thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "switch/base/result.h"
#include "switch/bridge/port_set.h"
#include "switch/frame/ethernet.h"

namespace lanyard {

// Port states of IEEE 802.1D-2004 7.4; `forwarding` unless a spanning tree says otherwise.
enum class PortState : std::uint8_t { discarding, learning, forwarding };

struct VlanMember {
  PortId port = kPortNone;
  bool tagged = false;
};

struct VlanPlan {
  std::vector<VlanMember> flood;  // active and forwarding, in ascending order
  PortSet forwarding;             // members whose state lets frames through
  PortSet learning;               // members whose state lets addresses be learned
  PortSet tagged;
};

class VlanTable {
 public:
  VlanTable();

  Result<void> create(VlanId vlan);  // 1..kVlanMax; EEXIST, EINVAL
  Result<void> remove(VlanId vlan);  // EBUSY-like EADDRINUSE while it has members; ENXIO
  bool exists(VlanId vlan) const { return vlan < vlans_.size() && vlans_[vlan] != nullptr; }

  // The VLAN of untagged frames; kVlanNone for none. The port leaves its old native VLAN.
  Result<void> set_native(PortId port, VlanId vlan);
  VlanId native(PortId port) const { return port < natives_.size() ? natives_[port] : VlanId{0}; }
  Result<void> add_tagged(VlanId vlan, PortId port);     // no effect on the port's native VLAN
  Result<void> remove_tagged(VlanId vlan, PortId port);  // EADDRINUSE when it is native there

  // A port number comes into being with native VLAN 0, and is forgotten with all memberships.
  void add_port(PortId port);
  void remove_port(PortId port);
  void set_active(PortId port, bool active);
  bool is_active(PortId port) const { return active_.has(port); }
  void set_state(VlanId vlan, PortId port, PortState state);
  PortState state(VlanId vlan, PortId port) const;

  // Called with a VLAN after who is in it has changed, or whether it exists.
  std::function<void(VlanId)> on_change;

  bool is_member(VlanId vlan, PortId port) const {
    return exists(vlan) &&
           (vlans_[vlan]->untagged.has(port) || vlans_[vlan]->plan.tagged.has(port));
  }
  bool is_tagged(VlanId vlan, PortId port) const {
    return exists(vlan) && vlans_[vlan]->plan.tagged.has(port);
  }
  std::vector<VlanMember> members(VlanId vlan) const;  // active or not, ascending

  // The VLAN must exist.
  const VlanPlan& plan(VlanId vlan) {
    Vlan& v = *vlans_[vlan];
    if (v.changed) rebuild(v);
    return v.plan;
  }

 private:
  struct Vlan {
    PortSet untagged;
    PortSet discarding;     // members that neither learn nor forward
    PortSet only_learning;  // members that learn and do not forward
    VlanPlan plan;          // plan.tagged is what the user said; the rest is derived
    bool changed = true;
  };

  void rebuild(Vlan& vlan) const;
  void mark_all_of(PortId port);
  void changed(VlanId vlan);

  std::vector<std::unique_ptr<Vlan>> vlans_;
  std::vector<VlanId> natives_;
  PortSet active_;
};

}  // namespace lanyard
