// SPDX-License-Identifier: MIT
//
// The control side of the switch: what commands and backends ask for.
#include "switch/bridge/switch.h"

#include <algorithm>
#include <cerrno>
#include <new>

#include "switch/base/text.h"
#include "switch/bridge/spanning_tree.h"

namespace lanyard {
namespace {

Error no_port(std::int64_t id) {
  return {ENXIO, fmt::format("port {} does not exist", id)};
}

Error bad_port(std::int64_t id, PortId ports_max) {
  return {EINVAL, fmt::format("{} is not a port number; the switch has ports 0 to {} (change that "
                              "with -n or port/setnumports)",
                              id, ports_max)};
}

// At an end, which must not fail for want of memory: an event that cannot be told is not told.
void tell(EventSink& events, const Event& event) {
  try {
    events.on_event(event);
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace

Switch::Switch(const Settings& settings, FramePool& pool, EventSink& events)
    : pool_(pool),
      events_(events),
      mac_(settings.mac),
      ports_max_(settings.ports_max),
      ports_(std::size_t{settings.ports_max} + 1),
      macs_(settings.hash_secret, settings.mac_entries_max),
      guards_(macs_, events),
      spanning_tree_(std::make_unique<SpanningTree>(*this)) {}

Switch::~Switch() = default;

Port& Switch::make_port(PortId id, bool allocatable) {
  ports_[id] = std::make_unique<Port>(id);
  ports_[id]->allocatable = allocatable;
  ports_[id]->pass_tags = pass_tags_by_default;
  if (Result<void> set = guards_.set(*ports_[id], guard_by_default); !set) {
    // Its bandwidth group is gone; the rest of it holds.
    GuardSettings without = guard_by_default;
    without.bandwidth_group.clear();
    set = guards_.set(*ports_[id], without);
  }
  vlans_.add_port(id);
  if (guard_by_default.root_guard) spanning_tree_->set_root_guard(id, true);
  Event event;
  event.kind = Event::Kind::port_added;
  event.port = id;
  events_.on_event(event);
  return *ports_[id];
}

bool Switch::may_use(const Port& port, const Identity& who) const {
  if (port.user_allowed == kNoUser && port.group_allowed == kNoGroup) return true;
  if (who.uid == 0) return true;
  if (port.user_allowed != kNoUser && who.uid == port.user_allowed) return true;
  return port.group_allowed != kNoGroup && who.in_group(port.group_allowed);
}

std::optional<PortId> Switch::first_free(const PlugRequest& request) const {
  const PortId last = std::min(request.range_last, ports_max_);
  for (PortId id = std::max<PortId>(request.range_first, 1); id <= last; ++id) {
    const Port* const port = ports_[id].get();
    if (port == nullptr) return id;
    if (!port->active() && port->allocatable && !port->reserved &&
        may_use(*port, request.traits.identity))
      return id;
  }
  return std::nullopt;
}

Result<Port*> Switch::port_for(const PlugRequest& request) {
  const Identity& who = request.traits.identity;
  if (!request.port) {
    const std::optional<PortId> id = first_free(request);
    if (!id) {
      return Error{ENOSPC,
                   fmt::format("no free port among {} to {}; unplug something or raise the "
                               "number with -n or port/setnumports",
                               request.range_first, std::min(request.range_last, ports_max_))};
    }
    return ports_[*id] != nullptr ? ports_[*id].get() : &make_port(*id, true);
  }
  const PortId id = *request.port;
  if (id > ports_max_) return bad_port(id, ports_max_);
  Port* const wanted = ports_[id].get();
  if (wanted == nullptr) return &make_port(id, true);
  if (wanted->active() && (who.uid == kNoUser || wanted->current_user != who.uid)) {
    return Error{EADDRINUSE, fmt::format("port {} is in use by user {}", id,
                                         static_cast<std::int32_t>(wanted->current_user))};
  }
  if (wanted->reserved && who.uid != kNoUser) {
    return Error{EACCES, fmt::format("port {} is kept for a part of the daemon", id)};
  }
  if (!wanted->active() && !may_use(*wanted, who)) {
    return Error{EACCES, fmt::format("port {} is reserved (port/setuser, port/setgroup) and not "
                                     "for user {}",
                                     id, static_cast<std::int32_t>(who.uid))};
  }
  return wanted;
}

Plug& Switch::plug(Port& port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits) {
  const bool first = !port.active();
  if (first) port.current_user = traits.identity.uid;
  Plug& plug = port.add_plug(
      std::make_unique<Plug>(port, std::move(endpoint), std::move(traits), port.queue_bytes_max));
  try {
    announce(port, plug, first);
  } catch (const std::bad_alloc&) {
    // Nobody would ever unplug it, for nobody has it.
    const std::unique_ptr<Plug> taken = port.take_plug(plug);
    if (first) {
      port.current_user = kNoUser;
      set_carrying(port, false);
    }
    throw;
  }
  return plug;
}

void Switch::announce(const Port& port, const Plug& plug, bool first) {
  if (first && port.link_up) set_carrying(port, true);
  if (!first) spanning_tree_->port_changed(port.id());
  Event event;
  event.port = port.id();
  event.endpoint_id = plug.traits().id;
  event.kind = Event::Kind::endpoint_added;
  events_.on_event(event);
  if (plug.traits().description.empty()) return;
  event.kind = Event::Kind::port_described;
  event.text = plug.traits().description;
  events_.on_event(event);
}

void Switch::unplug(Plug& gone) {
  Port& port = gone.port();
  const std::unique_ptr<Plug> plug = port.take_plug(gone);
  std::erase(backlogged_, &gone);
  Event event;
  event.port = port.id();
  event.endpoint_id = gone.traits().id;
  event.kind = Event::Kind::endpoint_removed;
  tell(events_, event);
  if (port.active()) return spanning_tree_->port_changed(port.id());
  set_carrying(port, false);
  port.current_user = kNoUser;
  guards_.forget_guest(port);
  discard_pending(port, Drop::unplugged);
  event.kind = Event::Kind::port_emptied;
  tell(events_, event);
  flush_macs_of(port.id());
}

// Whether frames may go out by the port.
void Switch::set_carrying(const Port& port, bool carrying) {
  vlans_.set_active(port.id(), carrying);
  spanning_tree_->port_changed(port.id());
  std::erase(active_, port.id());
  if (!carrying) return;
  active_.insert(std::lower_bound(active_.begin(), active_.end(), port.id()), port.id());
}

void Switch::discard_pending(Port& port, Drop why) {
  port.counters.drops.count(why, port.pending.size());
  port.counters.offered += port.pending.size();
  pending_frames_ -= port.pending.size();
  port.pending.clear();
}

Result<void> Switch::set_link(PortId id, bool up) {
  if (id > ports_max_) return bad_port(id, ports_max_);
  if (ports_[id] == nullptr) return no_port(id);
  Port& port = *ports_[id];
  if (port.link_up == up) return {};
  port.link_up = up;
  set_carrying(port, port.carries());
  if (!up) {
    discard_pending(port, Drop::cable_pulled);
    for (const auto& plug : port.plugs()) plug->discard_queue(Drop::cable_pulled);
    flush_macs_of(id);
  }
  Event event;
  event.kind = Event::Kind::link_changed;
  event.port = id;
  events_.on_event(event);
  return {};
}

Result<Port*> Switch::create_port(std::optional<PortId> id) {
  if (!id) {
    for (PortId free = 1; free <= ports_max_; ++free) {
      if (ports_[free] == nullptr) return &make_port(free, false);
    }
    return Error{ENOSPC, "every port number is taken; raise the number with port/setnumports"};
  }
  if (*id > ports_max_) return bad_port(*id, ports_max_);
  if (ports_[*id] != nullptr) return Error{EEXIST, fmt::format("port {} exists already", *id)};
  return &make_port(*id, false);
}

Result<void> Switch::remove_port(PortId id) {
  if (id > ports_max_) return bad_port(id, ports_max_);
  if (ports_[id] == nullptr) return no_port(id);
  if (ports_[id]->active()) {
    return Error{EADDRINUSE,
                 fmt::format("port {} has endpoints; close them with port/epclose", id)};
  }
  std::erase(dirty_, ports_[id].get());
  guards_.forget_port(*ports_[id]);
  ports_[id].reset();
  vlans_.remove_port(id);
  flush_macs_of(id);
  return {};
}

Result<void> Switch::set_ports_max(std::int64_t count) {
  if (count < 1 || count > kPortMax) {
    return Error{EINVAL, fmt::format("the number of ports must be 1 to {}", kPortMax)};
  }
  for (std::size_t id = static_cast<std::size_t>(count) + 1; id < ports_.size(); ++id) {
    if (ports_[id] != nullptr) {
      return Error{EADDRINUSE, fmt::format("port {} exists; remove it first", id)};
    }
  }
  ports_.resize(static_cast<std::size_t>(count) + 1);
  ports_max_ = static_cast<PortId>(count);
  return {};
}

Result<void> Switch::set_native_vlan(PortId id, VlanId vlan) {
  if (id > ports_max_) return bad_port(id, ports_max_);
  if (vlan > kVlanNone) return Error{EINVAL, fmt::format("{} is not a VLAN number", vlan)};
  if (ports_[id] == nullptr) return no_port(id);
  Result<void> done = vlans_.set_native(id, vlan);
  if (done) flush_macs_of(id);
  return done;
}

Result<void> Switch::remove_from_vlan(VlanId vlan, PortId id) {
  if (id > ports_max_) return bad_port(id, ports_max_);
  if (ports_[id] == nullptr) return no_port(id);
  Result<void> done = vlans_.remove_tagged(vlan, id);
  if (done) flush_macs_of(id);
  return done;
}

Result<void> Switch::set_guard(PortId id, const GuardSettings& settings) {
  if (id > ports_max_) return bad_port(id, ports_max_);
  if (ports_[id] == nullptr) return no_port(id);
  const bool was_root_guard = Guards::of(*ports_[id]).root_guard;
  Result<void> set = guards_.set(*ports_[id], settings);
  // What was said to the spanning tree alone stays as it was said there.
  if (set && settings.root_guard != was_root_guard) {
    spanning_tree_->set_root_guard(id, settings.root_guard);
  }
  return set;
}

void Switch::set_hub(bool hub) {
  hub_ = hub;
  if (!hub) return;
  spanning_tree_->stop();
  macs_.clear();
}

void Switch::flush_macs_of(PortId id, std::optional<VlanId> vlan) {
  if (events_.wants_mac_events() && macs_.size_of(id) != 0) {
    macs_.visit_from(0, now_s_, [&](const MacEntry& entry) {
      if (entry.port != id || (vlan && entry.vlan != *vlan)) return true;
      Event event;
      event.kind = Event::Kind::mac_forgotten;
      event.port = id;
      event.mac = entry.mac;
      event.vlan = entry.vlan;
      tell(events_, event);
      return true;
    });
  }
  if (vlan) {
    macs_.flush_port_in_vlan(id, *vlan);
  } else {
    macs_.flush_port(id);
  }
}

bool Switch::sweep_macs(std::size_t budget) {
  const bool tell = events_.wants_mac_events();
  return macs_.sweep(now_s_, budget, [&](const MacEntry& entry) {
    if (!tell) return;
    Event event;
    event.kind = Event::Kind::mac_forgotten;
    event.port = entry.port;
    event.mac = entry.mac;
    event.vlan = entry.vlan;
    events_.on_event(event);
  });
}

void Switch::release_idle_queues() {
  for (const PortId id : active_) {
    for (const auto& plug : ports_[id]->plugs()) plug->queue().release_if_idle();
  }
}

SwitchState Switch::state() const {
  SwitchState state;
  state.mac = mac_;
  state.ports_max = ports_max_;
  state.hub = hub_;
  state.mac_expire_s = macs_.settings().expire_s;
  state.mac_hold_s = macs_.settings().hold_s;
  state.shown_buckets = macs_.settings().shown_buckets;
  state.pass_tags_by_default = pass_tags_by_default;
  state.guard_by_default = guard_by_default;
  state.bandwidth_groups = guards_.groups();
  state.bindings = guards_.bindings().all();
  for (VlanId vlan = 1; vlan <= kVlanMax; ++vlan) {
    if (vlans_.exists(vlan)) state.vlans.push_back(vlan);
  }
  for_each_port([&](const Port& port) {
    PortConfiguration saved;
    saved.id = port.id();
    saved.native_vlan = vlans_.native(port.id());
    saved.allocatable = port.allocatable;
    saved.reserved = port.reserved;
    saved.link_up = port.link_up;
    saved.pass_tags = port.pass_tags;
    saved.user_allowed = port.user_allowed;
    saved.group_allowed = port.group_allowed;
    saved.queue_bytes_max = port.queue_bytes_max;
    saved.guard = Guards::of(port);
    saved.guard_chosen = port.guard_chosen;
    if (port.guard != nullptr) saved.sticky_macs = port.guard->stuck;
    if (vlans_.is_tagged(0, port.id())) saved.tagged_vlans.push_back(0);
    for (const VlanId vlan : state.vlans) {
      if (vlans_.is_tagged(vlan, port.id())) saved.tagged_vlans.push_back(vlan);
    }
    state.ports.push_back(std::move(saved));
  });
  state.spanning_tree = spanning_tree_->state();
  return state;
}

Result<void> Switch::restore(const SwitchState& state) {
  mac_ = state.mac;
  if (Result<void> sized = set_ports_max(state.ports_max); !sized) return sized;
  set_hub(state.hub);
  macs_.settings().expire_s = state.mac_expire_s;
  macs_.settings().hold_s = state.mac_hold_s;
  macs_.settings().shown_buckets = state.shown_buckets;
  pass_tags_by_default = state.pass_tags_by_default;
  guard_by_default = state.guard_by_default;
  guards_.bindings().restore(state.bindings);
  for (const BandwidthGroup& group : state.bandwidth_groups) {
    if (Result<void> made = guards_.set_group(group); !made) return made;
  }
  for (const VlanId vlan : state.vlans) {
    if (Result<void> made = vlans_.create(vlan); !made) return made;
  }
  for (const PortConfiguration& saved : state.ports) {
    Result<Port*> made = create_port(saved.id);
    if (!made) return made.error();
    Port& port = *made.value();
    port.allocatable = saved.allocatable;
    port.reserved = saved.reserved;
    port.link_up = saved.link_up;
    port.pass_tags = saved.pass_tags;
    port.user_allowed = saved.user_allowed;
    port.group_allowed = saved.group_allowed;
    port.queue_bytes_max = static_cast<std::size_t>(saved.queue_bytes_max);
    if (Result<void> set = guards_.set(port, saved.guard); !set) return set;
    port.guard_chosen = saved.guard_chosen;
    if (port.guard != nullptr) port.guard->stuck = saved.sticky_macs;
    if (Result<void> native = vlans_.set_native(saved.id, saved.native_vlan); !native) {
      return native;
    }
    for (const VlanId vlan : saved.tagged_vlans) {
      if (Result<void> added = vlans_.add_tagged(vlan, saved.id); !added) return added;
    }
  }
  spanning_tree_->restore(state.spanning_tree);
  return {};
}

}  // namespace lanyard
