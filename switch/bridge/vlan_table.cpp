// SPDX-License-Identifier: MIT
#include "switch/bridge/vlan_table.h"

#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

Error no_vlan(VlanId vlan) {
  return {ENXIO, fmt::format("VLAN {} does not exist; create it with vlan/create {}", vlan, vlan)};
}

}  // namespace

VlanTable::VlanTable() : vlans_(kVlanIds) {
  vlans_[0] = std::make_unique<Vlan>();
}

Result<void> VlanTable::create(VlanId vlan) {
  if (vlan == 0 || vlan > kVlanMax) {
    return Error{EINVAL, fmt::format("VLAN {} is not in the range 1 to {}", vlan, kVlanMax)};
  }
  if (exists(vlan)) return Error{EEXIST, fmt::format("VLAN {} exists already", vlan)};
  vlans_[vlan] = std::make_unique<Vlan>();
  changed(vlan);
  return {};
}

Result<void> VlanTable::remove(VlanId vlan) {
  if (vlan > kVlanMax) return Error{EINVAL, fmt::format("{} is not a VLAN number", vlan)};
  if (!exists(vlan)) return no_vlan(vlan);
  if (vlan == 0 || !vlans_[vlan]->untagged.empty() || !vlans_[vlan]->plan.tagged.empty()) {
    return Error{EADDRINUSE, fmt::format("VLAN {} still has ports in it", vlan)};
  }
  vlans_[vlan].reset();
  changed(vlan);
  return {};
}

Result<void> VlanTable::set_native(PortId port, VlanId vlan) {
  if (vlan != kVlanNone && !exists(vlan)) return no_vlan(vlan);
  const VlanId old = native(port);
  if (old != kVlanNone) {
    vlans_[old]->untagged.remove(port);
    changed(old);
  }
  natives_[port] = vlan;
  if (vlan != kVlanNone) {
    Vlan& v = *vlans_[vlan];
    v.untagged.add(port);
    v.plan.tagged.remove(port);
    changed(vlan);
  }
  return {};
}

Result<void> VlanTable::add_tagged(VlanId vlan, PortId port) {
  if (!exists(vlan)) return no_vlan(vlan);
  Vlan& v = *vlans_[vlan];
  if (!v.untagged.has(port)) {
    v.plan.tagged.add(port);
    changed(vlan);
  }
  return {};
}

Result<void> VlanTable::remove_tagged(VlanId vlan, PortId port) {
  if (!exists(vlan)) return no_vlan(vlan);
  Vlan& v = *vlans_[vlan];
  if (v.untagged.has(port)) {
    return Error{EADDRINUSE, fmt::format("VLAN {} is the untagged VLAN of port {}; change it with "
                                         "port/setvlan",
                                         vlan, port)};
  }
  v.plan.tagged.remove(port);
  changed(vlan);
  return {};
}

void VlanTable::add_port(PortId port) {
  if (port >= natives_.size()) natives_.resize(std::size_t{port} + 1, 0);
  natives_[port] = 0;
  vlans_[0]->untagged.add(port);
  changed(0);
}

void VlanTable::remove_port(PortId port) {
  active_.remove(port);
  if (port < natives_.size()) natives_[port] = 0;
  for (std::size_t id = 0; id < vlans_.size(); ++id) {
    Vlan* const vlan = vlans_[id].get();
    if (vlan == nullptr) continue;
    const bool member = is_member(static_cast<VlanId>(id), port);
    vlan->untagged.remove(port);
    vlan->plan.tagged.remove(port);
    vlan->discarding.remove(port);
    vlan->only_learning.remove(port);
    if (member) changed(static_cast<VlanId>(id));
  }
}

void VlanTable::set_active(PortId port, bool active) {
  if (active) {
    active_.add(port);
  } else {
    active_.remove(port);
  }
  mark_all_of(port);
}

void VlanTable::set_state(VlanId vlan, PortId port, PortState state) {
  if (!exists(vlan)) return;
  Vlan& v = *vlans_[vlan];
  v.discarding.remove(port);
  v.only_learning.remove(port);
  if (state == PortState::discarding) v.discarding.add(port);
  if (state == PortState::learning) v.only_learning.add(port);
  v.changed = true;
}

PortState VlanTable::state(VlanId vlan, PortId port) const {
  if (!exists(vlan) || vlans_[vlan]->discarding.has(port)) return PortState::discarding;
  return vlans_[vlan]->only_learning.has(port) ? PortState::learning : PortState::forwarding;
}

std::vector<VlanMember> VlanTable::members(VlanId vlan) const {
  std::vector<VlanMember> list;
  if (!exists(vlan)) return list;
  for (std::size_t port = 0; port < natives_.size(); ++port) {
    const auto id = static_cast<PortId>(port);
    if (is_member(vlan, id)) list.push_back({id, is_tagged(vlan, id)});
  }
  return list;
}

void VlanTable::changed(VlanId vlan) {
  if (exists(vlan)) vlans_[vlan]->changed = true;
  if (on_change) on_change(vlan);
}

void VlanTable::mark_all_of(PortId port) {
  for (const auto& vlan : vlans_) {
    if (vlan != nullptr && (vlan->untagged.has(port) || vlan->plan.tagged.has(port))) {
      vlan->changed = true;
    }
  }
}

void VlanTable::rebuild(Vlan& vlan) const {
  VlanPlan& plan = vlan.plan;
  plan.flood.clear();
  plan.forwarding = PortSet();
  plan.learning = PortSet();
  const auto consider = [&](PortId port) {
    if (vlan.discarding.has(port)) return;
    plan.learning.add(port);
    if (vlan.only_learning.has(port)) return;
    plan.forwarding.add(port);
    if (active_.has(port)) plan.flood.push_back({port, plan.tagged.has(port)});
  };
  for (std::size_t port = 0; port < natives_.size(); ++port) {
    const auto id = static_cast<PortId>(port);
    if (vlan.untagged.has(id) || plan.tagged.has(id)) consider(id);
  }
  vlan.changed = false;
}

}  // namespace lanyard
