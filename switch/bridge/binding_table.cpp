// SPDX-License-Identifier: MIT
#include "switch/bridge/binding_table.h"

#include <algorithm>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

bool is_said(const Binding& binding) {
  return binding.origin == Binding::Origin::operator_said;
}

}  // namespace

bool BindingTable::allows(const IpAddress& address, VlanId vlan, MacAddress mac, PortId port,
                          Time now) {
  const auto is_theirs = [&](const Binding& b) {
    return b.mac == mac && (b.port == kPortNone || b.port == port) && now < b.expires;
  };
  if (const auto said = bindings_.find({Binding::kAnyVlan, address}); said != bindings_.end()) {
    return is_theirs(said->second);
  }
  const auto found = bindings_.find({vlan, address});
  if (found == bindings_.end() || !is_theirs(found->second)) return false;
  found->second.used = now;
  return true;
}

const Binding* BindingTable::find(const IpAddress& address, VlanId vlan, Time now) const {
  for (const VlanId in : {Binding::kAnyVlan, vlan}) {
    const auto found = bindings_.find({in, address});
    if (found != bindings_.end() && now < found->second.expires) return &found->second;
  }
  return nullptr;
}

Result<void> BindingTable::say(const IpAddress& address, MacAddress mac, PortId port) {
  const Key key{Binding::kAnyVlan, address};
  const bool is_new = !bindings_.contains(key);
  if (is_new && said_ >= kSaidMax) {
    return Error{ENOSPC, fmt::format("there are {} bindings already; take some away", kSaidMax)};
  }
  Binding binding;
  binding.address = address;
  binding.mac = mac;
  binding.port = port;
  bindings_[key] = binding;
  said_ += is_new ? 1 : 0;
  return {};
}

bool BindingTable::unsay(const IpAddress& address) {
  if (bindings_.erase({Binding::kAnyVlan, address}) == 0) return false;
  --said_;
  return true;
}

void BindingTable::unsay_all() {
  std::erase_if(bindings_, [](const auto& b) { return is_said(b.second); });
  said_ = 0;
}

void BindingTable::lease(const Binding& binding, Time now) {
  if (binding.expires <= now) {
    return give_back(binding.address, binding.vlan, binding.mac, binding.port);
  }
  put(binding, now);
}

void BindingTable::give_back(const IpAddress& address, VlanId vlan, MacAddress mac, PortId port) {
  const auto found = bindings_.find({vlan, address});
  if (found == bindings_.end() || found->second.mac != mac) return;
  if (port != kPortNone && found->second.port != port) return;
  --learned_[found->second.port];
  bindings_.erase(found);
}

bool BindingTable::claim(const IpAddress& address, VlanId vlan, MacAddress mac, PortId port,
                         Time now) {
  if (const Binding* const known = find(address, vlan, now)) {
    return known->mac == mac && (known->port == kPortNone || known->port == port);
  }
  Binding binding;
  binding.address = address;
  binding.vlan = vlan;
  binding.mac = mac;
  binding.port = port;
  binding.origin = Binding::Origin::first_come;
  put(binding, now);
  return true;
}

// The port's own least used binding makes room.
void BindingTable::put(const Binding& binding, Time now) {
  const Key key{binding.vlan, binding.address};
  if (const auto old = bindings_.find(key); old != bindings_.end()) {
    --learned_[old->second.port];
    bindings_.erase(old);
  }
  std::size_t& count = learned_[binding.port];
  // What is nobody's port's was not caused by a guest.
  if (count >= (binding.port == kPortNone ? kSaidMax : kPerPort)) {
    auto least = bindings_.end();
    for (auto at = bindings_.begin(); at != bindings_.end(); ++at) {
      if (is_said(at->second) || at->second.port != binding.port) continue;
      if (least == bindings_.end() || at->second.used < least->second.used) least = at;
    }
    if (least != bindings_.end()) {
      bindings_.erase(least);
      --count;
    }
  }
  bindings_[key] = binding;
  bindings_[key].used = now;
  ++count;
}

void BindingTable::forget_port(PortId port) {
  if (learned_.erase(port) == 0) return;
  std::erase_if(bindings_,
                [&](const auto& b) { return !is_said(b.second) && b.second.port == port; });
}

std::vector<Binding> BindingTable::all() const {
  std::vector<Binding> list;
  for (const auto& [key, binding] : bindings_) list.push_back(binding);
  return list;
}

void BindingTable::restore(const std::vector<Binding>& bindings) {
  bindings_.clear();
  learned_.clear();
  said_ = 0;
  for (const Binding& binding : bindings) {
    bindings_[{binding.vlan, binding.address}] = binding;
    if (is_said(binding)) {
      ++said_;
    } else {
      ++learned_[binding.port];
    }
  }
}

}  // namespace lanyard
