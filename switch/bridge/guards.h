// SPDX-License-Identifier: MIT
//
// What protects guests from each other: who may reach whom, which addresses a port may use, which
// messages it may send, and how much of all that. An engine without sockets or clock; a switch has
// one and asks it at three places of a frame's way: once it is admitted (check), when it is to be
// flooded (storm), and when it leaves (limit).
//
// What makes it hard: it is asked for every frame and may cost next to nothing, and it judges bytes
// that somebody has chosen to be misjudged. So what a port does not guard against is not looked at,
// what it does is decided by EtherType and protocol for nearly all frames, and what cannot be shown
// to be harmless is dropped (RFC 6105, 7113, 7610).
// Lane thread only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "switch/bridge/binding_table.h"
#include "switch/bridge/event.h"
#include "switch/bridge/mac_table.h"
#include "switch/bridge/packet_inspector.h"
#include "switch/bridge/port.h"
#include "switch/frame/frame.h"

namespace lanyard {

class Guards {
 public:
  Guards(MacTable& macs, EventSink& events) : macs_(macs), events_(events) {}
  Guards(const Guards&) = delete;
  Guards& operator=(const Guards&) = delete;

  // ---- control side ----

  // From the next frame on. ENXIO when the bandwidth group does not exist.
  Result<void> set(Port& port, const GuardSettings& wanted);
  static GuardSettings of(const Port& port);

  // A group comes into being, or has another rate from now on.
  Result<void> set_group(const BandwidthGroup& group);
  // EADDRINUSE while a port is in it.
  Result<void> remove_group(std::string_view name);
  std::vector<BandwidthGroup> groups() const;

  // The port is about to be destroyed.
  void forget_port(Port& port);
  // Its last plug has gone: whoever comes next is somebody else.
  void forget_guest(Port& port);

  BindingTable& bindings() { return bindings_; }
  const BindingTable& bindings() const { return bindings_; }

  // ---- data side ----

  // Whether the frame may come in. The port must have a guard.
  Drop check(Port& in, const Frame& frame, Time now) {
    PortGuard& guard = *in.guard;
    return guard.concerns(frame.head()) ? check_closely(in, frame, now) : Drop::none;
  }
  // Whether the frame, which was to be flooded, may be.
  Drop storm(Port& in, const Frame& frame, Time now);
  // Whether the port may have one more address behind it.
  Drop may_learn(Port& in, MacAddress source, VlanId vlan, Time now);

  // That frames for the port were dropped.
  void tell_limited(Port& out, std::size_t frames, Time now);

  bool is_isolated(PortId id) const { return isolated_.has(id); }
  // From one to the other.
  bool isolates(PortId from, PortId to) const { return isolated_.has(from) && isolated_.has(to); }

  bool has_listeners() const { return !listeners_.empty(); }
  // Those who get to see a unicast frame between the two.
  template <typename Function>
  void for_each_listener(PortId from, PortId to, Function&& function) const {
    const bool among_guests = !trusted_.has(from) && !trusted_.has(to);
    for (const Listener& listener : listeners_) {
      if (listener.id == from || listener.id == to) continue;
      if (among_guests || listener.sees_all) function(listener.id);
    }
  }

  // Whether the port's cable is to be pulled; asked once after each batch.
  static bool take_shut(Port& port) {
    return port.guard != nullptr && std::exchange(port.guard->shut_wanted, false);
  }

 private:
  struct Listener {
    PortId id = kPortNone;
    bool sees_all = false;
  };
  struct Group {
    RateSettings rate;
    std::shared_ptr<TokenBucket> bucket;
  };

  Drop check_closely(Port& in, const Frame& frame, Time now);
  static Drop check_source(Port& in, MacAddress source);
  // guard_inspection.cpp
  Drop inspect(Port& in, const Frame& frame, Time now);
  static Drop forbidden(const GuardSettings& settings, const InspectedPacket& packet);
  Drop check_arp(const InspectedPacket& packet, MacAddress source, VlanId vlan, PortId in,
                 Time now);
  Drop check_discovery(const InspectedPacket& packet, MacAddress source, VlanId vlan, PortId in,
                       Time now);
  Drop check_ip_source(const InspectedPacket& packet, MacAddress source, VlanId vlan, PortId in,
                       Time now);
  void snoop(const InspectedPacket& packet, const EthernetView& ethernet, VlanId vlan, PortId in,
             Time now);
  // Drops for this reason, and tells about it.
  Drop violation(Port& in, Drop why, MacAddress source, VlanId vlan, Time now);
  void tell(Port& port, Drop why, std::uint64_t frames, bool shut, Event event, Time now);
  void list(Port& port);
  void unlist(const Port& port);
  void settle_flags();

  MacTable& macs_;
  EventSink& events_;
  PortSet isolated_;
  PortSet trusted_;
  std::vector<Listener> listeners_;  // ascending
  std::vector<Port*> guarded_;
  bool uses_bindings_ = false;  // some port does
  BindingTable bindings_;
  std::map<std::string, Group, std::less<>> groups_;
};

}  // namespace lanyard
